// Values of a weight of 4 bits by the kernel of four_bit.cu.
#pragma once

#include "products/coded/four_bit_matrix.h"

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// Which rows of a weight, and what their values become: rounded to one dtype, then given in another.
struct FourBitRows {
  int64_t rows, columns, first, count;
  at::ScalarType dtype, rounded;
};

bool suitsFusedDequantize(const at::Tensor& codes, const FourBitState& state, const FourBitRows& of);
/// [count, columns]
at::Tensor fusedDequantize(const at::Tensor& codes, const FourBitState& state, const FourBitRows& of);

}  // namespace qwen_pt

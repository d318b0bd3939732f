// Rounding a matrix to 8-bit floats by the kernels of float8.cu. Below autograd.
#pragma once

#include "products/coded/float8.h"

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// Whether there are kernels for a matrix where it is.
bool suitsFusedFloat8(const at::Tensor& x);
/// Its codes and their unit, in two launches: the largest magnitudes of as many parts, then the codes.
Float8Matrix fusedFloat8(const at::Tensor& x, Float8Format format);

}  // namespace qwen_pt

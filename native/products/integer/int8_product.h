// Products with a frozen weight in 8-bit integers (int8_rows.h): the weight's, and x's, rounded row by row as it comes.
#pragma once

#include "products/coded/stored_matrix.h"

namespace qwen_pt {

/// Whether this processor has the instructions.
bool hasInt8Products();

/// A weight as both directions read it.
struct Int8Weight {
  at::Tensor codes;       // int8 [rows, columns]: no four that meet in 16 bits add up to more than 128 of one sign
  at::Tensor scales;      // float [rows]: the value of one unit
  at::Tensor rowSums;     // int32 [rows]: of the codes
  at::Tensor columnSums;  // int32 [columns]

  /// Checks that the parts belong together; `state` is all but the codes.
  Int8Weight(const at::Tensor& codes, at::TensorList state);
};

/// x w^T [m, rows] where `transposed`, else x w [m, columns], into `out`, to which it is added where beta is 1. Each row of x
/// is rounded to 8 bits of its largest, times the rows' scales where the sum runs over rows. Sums are exact, so the result
/// depends on no number of threads.
void int8Product(const at::Tensor& x, const Int8Weight& w, bool transposed, const at::Tensor& out, float beta = 0);

}  // namespace qwen_pt

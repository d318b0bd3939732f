// Products with a frozen weight in 16-bit integers (fixed_point_rows.h).
#pragma once

#include "products/coded/stored_matrix.h"

namespace qwen_pt {

/// Whether this processor has the instructions.
bool hasFixedPoint();

/// What panelProduct computes, with beta of 0 or 1, in integers: the weight rounded to 12 bits of each row's largest, each
/// row of x to 13 to 16 bits of its largest. The error is a quarter of what rounding the operands of a float product to
/// bfloat16 makes. The same integers serve both directions.
void fixedPointProduct(const at::Tensor& x, const StoredMatrix& w, bool transposed, const at::Tensor& out,
                       float beta = 0);

}  // namespace qwen_pt

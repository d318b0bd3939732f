// Products with a matrix that is stored in another format than they are computed in.
#pragma once

#include "products/coded/stored_matrix.h"

namespace qwen_pt {

/// out = alpha x w^T + beta out, for x [m, k] and w [n, k] (`transposed`), or alpha x w + beta out for w [k, n]; sums
/// in float, rounded once to the dtype of `out` [m, n]. x and out are of 16 bits or float, each with stride 1 along one
/// of its dimensions; out along its last.
void panelProduct(const at::Tensor& x, const StoredMatrix& w, bool transposed, const at::Tensor& out, float alpha = 1,
                  float beta = 0);

}  // namespace qwen_pt

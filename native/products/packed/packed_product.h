// Products of bfloat16 on a processor that multiplies pairs of them (AVX512_BF16).
#pragma once

#include "products/coded/stored_matrix.h"

namespace qwen_pt {

/// Whether this process can: the processor has the instructions and the addon was compiled for them.
bool hasPackedProducts();

/// Whether a [m, k] and b [k, n] are worth it: bfloat16, each with stride 1 along one of its dimensions, and so large that
/// packing them costs little. Smaller ones are libtorch's.
bool suitsPacked(const at::Tensor& a, const at::Tensor& b);

/// The same of a [m, k] and a stored matrix [n, k] (`transposed`) or [k, n].
bool suitsPacked(const at::Tensor& a, const StoredMatrix& w, bool transposed);

/// out [m, n] = alpha a b + beta out; sums in float, rounded once. out has stride 1 along its last dimension.
void packedProduct(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, float alpha = 1, float beta = 0);

/// out = a w^T + beta out, for w [n, k] (`transposed`), or a w + beta out for w [k, n]: its values are rounded to bfloat16
/// as they are packed.
void packedProduct(const at::Tensor& a, const StoredMatrix& w, bool transposed, const at::Tensor& out, float beta = 0);

}  // namespace qwen_pt

// Products of a tall matrix with one of low rank, 16 bits on the CPU: what LoRA adds to a layer. Below autograd.
#pragma once

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// What dropout left of a tall matrix: a mask of its shape, and what is left is multiplied by.
struct Dropped {
  const at::Tensor& mask;
  double factor;
};

/// Whether these products are the better ones for x [rows, width] and `ranks` ranks of its dtype.
bool suitsLowRank(const at::Tensor& x, int64_t ranks, at::ScalarType dtype);

/// x a^T [rows, ranks] for a [ranks, width], in x's dtype.
at::Tensor lowRankProject(const at::Tensor& x, const at::Tensor& a, const Dropped* dropped = nullptr);

/// y += scale h b, in place, for y [rows, width], h [rows, ranks], b [ranks, width] of any strides.
void lowRankUpdate(const at::Tensor& y, const at::Tensor& h, const at::Tensor& b, double scale);

/// sum += (h b rounded to h's dtype) where the mask leaves it, times the factor: for float sum [rows, width].
void lowRankUpdateDropped(const at::Tensor& sum, const at::Tensor& h, const at::Tensor& b, const Dropped& dropped);

/// scale h^T x [ranks, width] for h [rows, ranks], in x's dtype.
at::Tensor lowRankReduce(const at::Tensor& h, const at::Tensor& x, double scale, const Dropped* dropped = nullptr);

}  // namespace qwen_pt

// Products with a low rank: the small operands as padded floats, the tall one dealt to threads by rows, or by columns
// where its rows are summed, so that no result depends on the number of threads.

#include "low_rank.h"

#include "kernels/round_up.h"
#include "kernels/vector_kernels.h"
#include "tensors/placement.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kGrain = 1 << 15;  // numbers of the tall matrix that are worth a thread

constexpr int64_t kMostRanks = 96;  // with more of them a full product reuses what it reads

const LowRankKernel& kernel() { return vectorKernels().lowRank; }

/// A small matrix as float, zeros up to whole steps.
Tensor wideOf(const Tensor& small, int64_t rowStep, int64_t columnStep, double scale = 1) {
  Tensor wide = at::zeros({roundUp(small.size(0), rowStep), roundUp(small.size(1), columnStep)}, at::kFloat);
  Tensor part = wide.narrow(0, 0, small.size(0)).narrow(1, 0, small.size(1));
  part.copy_(small);
  if (scale != 1) part.mul_(scale);
  return wide;
}

LowRankInput inputOf(const Tensor& x, const Dropped* dropped) {
  LowRankInput input{x.scalar_type(), x.const_data_ptr(), x.stride(0), x.size(1)};
  if (dropped != nullptr) {
    TORCH_INTERNAL_ASSERT(dropped->mask.is_contiguous() && x.stride(0) == x.size(1));
    input.mask = static_cast<const uint8_t*>(dropped->mask.const_data_ptr());
    input.factor = static_cast<float>(dropped->factor);
  }
  return input;
}

int64_t grainOf(int64_t other) { return std::max<int64_t>(kGrain / std::max<int64_t>(other, 1), 1); }

}  // namespace

bool suitsLowRank(const Tensor& x, int64_t ranks, at::ScalarType dtype) {
  return isOnHost(x) && (dtype == at::kBFloat16 || dtype == at::kHalf) && x.scalar_type() == dtype && x.dim() == 2 &&
         x.is_contiguous() && x.numel() > 0 && ranks <= kMostRanks;
}

Tensor lowRankProject(const Tensor& x, const Tensor& a, const Dropped* dropped) {
  const Tensor wide = wideOf(a, kRankStep, kWidthStep);
  const int64_t rows = x.size(0), ranks = wide.size(0);
  const Tensor h = at::empty({rows, ranks}, at::kFloat);
  const LowRankInput input = inputOf(x, dropped);
  at::parallel_for(0, rows, grainOf(x.size(1)), [&](int64_t first, int64_t end) {
    kernel().project(input, first, end, wide.const_data_ptr<float>(), wide.stride(0), ranks, h.data_ptr<float>());
  });
  return h.narrow(1, 0, a.size(0)).to(x.scalar_type());
}

void lowRankUpdate(const Tensor& y, const Tensor& h, const Tensor& b, double scale) {
  const Tensor shares = wideOf(h, 1, kRankStep, scale), wide = wideOf(b, kRankStep, kWidthStep);
  const LowRankInput input = inputOf(y, nullptr);
  at::parallel_for(0, y.size(0), grainOf(y.size(1)), [&](int64_t first, int64_t end) {
    kernel().update(input, first, end, shares.const_data_ptr<float>(), wide.size(0), wide.const_data_ptr<float>(),
                    wide.stride(0), y.data_ptr(), y.stride(0));
  });
}

void lowRankUpdateDropped(const Tensor& sum, const Tensor& h, const Tensor& b, const Dropped& dropped) {
  const Tensor shares = wideOf(h, 1, kRankStep), wide = wideOf(b, kRankStep, kWidthStep);
  LowRankInput input{h.scalar_type(), nullptr, sum.size(1), sum.size(1)};
  input.mask = static_cast<const uint8_t*>(dropped.mask.const_data_ptr());
  input.factor = static_cast<float>(dropped.factor);
  at::parallel_for(0, sum.size(0), grainOf(sum.size(1)), [&](int64_t first, int64_t end) {
    kernel().update(input, first, end, shares.const_data_ptr<float>(), wide.size(0), wide.const_data_ptr<float>(),
                    wide.stride(0), sum.data_ptr(), sum.stride(0));
  });
}

Tensor lowRankReduce(const Tensor& h, const Tensor& x, double scale, const Dropped* dropped) {
  const Tensor shares = wideOf(h, 1, kRankStep, scale);
  const int64_t ranks = shares.size(1), width = roundUp(x.size(1), kWidthStep);
  const Tensor d = at::zeros({ranks, width}, at::kFloat);
  const LowRankInput input = inputOf(x, dropped);
  at::parallel_for(0, width / kWidthStep, grainOf(x.size(0) * kWidthStep), [&](int64_t first, int64_t end) {
    kernel().reduce(input, x.size(0), first * kWidthStep, std::min(end * kWidthStep, x.size(1)),
                    shares.const_data_ptr<float>(), ranks, d.data_ptr<float>(), width);
  });
  return d.narrow(0, 0, h.size(1)).narrow(1, 0, x.size(1)).to(x.scalar_type());
}

}  // namespace qwen_pt

// What LLM.int8 (Dettmers et al. 2022, arXiv:2208.07339) computes with when it reads, equal to bitsandbytes 0.50's on the
// CPU: rows of x in 8 bits with a scale each, columns with an outlier apart, in x's dtype.
//
//   quantize_rows(numbers [rows, columns]) -> int8 of the same shape, scales [rows]: the weights', of float16
//   linear_8bit_mixed(x [..., in], codes [out, in], scales [out], threshold) -> [..., out] in x's dtype
//
// Training multiplies by the codes' values instead (linear_coded.cc), as bitsandbytes does on a processor.

#include "kernels/vector_kernels.h"
#include "products/coded/eight_bit_matrix.h"
#include "tensors/placement.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/round.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;

/// 1 / 127^2 and 1 / 127 as bitsandbytes writes them.
constexpr double kBothScales = 6.200124e-05;
constexpr double kOneScale = 7.874015718698502e-3;

std::tuple<Tensor, Tensor> onHost(const Tensor& numbers) {
  const int64_t rows = numbers.size(0), width = numbers.size(1);
  const Tensor codes = at::empty({rows, width}, numbers.options().dtype(at::kChar));
  const Tensor scales = at::empty({rows}, numbers.options().dtype(at::kFloat));
  const auto* from = static_cast<const char*>(numbers.const_data_ptr());
  auto* to = codes.data_ptr<int8_t>();
  float* scale = scales.data_ptr<float>();
  at::parallel_for(0, rows, std::max<int64_t>(32768 / std::max<int64_t>(width, 1), 1), [&](int64_t begin, int64_t end) {
    std::vector<float> wide(width);
    for (int64_t i = begin; i < end; ++i) {
      vectorKernels().panel.widen(numbers.scalar_type(), from + i * width * numbers.element_size(), wide.data(), width);
      scale[i] = vectorKernels().quantize.eightBit(wide.data(), width, to + i * width);
    }
  });
  return {codes, scales};
}

/// Rows of numbers, rounded to float16, in 8 bits, round half to even; a row of zeros stays zeros.
std::tuple<Tensor, Tensor> inEightBits(const Tensor& numbers) {
  if (isOnHost(numbers) && numbers.scalar_type() != at::kDouble) return onHost(numbers.contiguous());
  const Tensor scales = numbers.abs().amax({1}).to(at::kFloat);
  const Tensor factors = scales.reciprocal().mul(127.0);  // as Python divides a number by a tensor: in two roundings
  const Tensor codes = at::round(numbers.to(at::kFloat) * factors.unsqueeze(-1)).nan_to_num(0.0).to(at::kChar);
  return {codes, scales};
}

std::tuple<Tensor, Tensor> quantizeRows(const Tensor& numbers) {
  TORCH_CHECK(numbers.dim() == 2 && numbers.is_floating_point(), "rows of numbers are quantized, not ",
              numbers.scalar_type(), " ", numbers.sizes());
  return inEightBits(numbers.scalar_type() == at::kDouble || !isOnHost(numbers) ? numbers.to(at::kHalf) : numbers);
}

Tensor mixed(const Tensor& given, const Tensor& codes, const Tensor& scales, double threshold) {
  checkEightBits(codes, scales);
  TORCH_CHECK(given.dim() >= 1 && given.size(-1) == codes.size(1), "x ", given.sizes(), " and a weight ", codes.sizes(),
              " do not belong together");
  std::vector<int64_t> shape = given.sizes().vec();
  shape.back() = codes.size(0);
  const Tensor x = given.reshape({-1, given.size(-1)}), half = x.to(at::kHalf);
  Tensor columns, kept = half;
  if (threshold > 0 && half.numel() > 0) {
    const Tensor outliers = half.abs().ge(threshold);
    columns = at::nonzero(outliers.any(0)).view({-1});
    if (columns.numel() > 0) kept = half.masked_fill(outliers, 0);
  }
  auto [rows, rowScales] = inEightBits(kept);
  const bool some = columns.defined() && columns.numel() > 0;
  if (some && rows.size(0) > 1) rows.index_fill_(1, columns, 0);
  // sums of integers: exact in float up to 2^24, and rounded as bitsandbytes rounds them beyond
  const Tensor sums = at::mm(rows.to(at::kFloat), codes.to(at::kFloat).t()).to(at::kInt);
  const Tensor both = rowScales.unsqueeze(-1) * scales.unsqueeze(0);
  Tensor out = (sums * both * kBothScales).to(x.scalar_type());
  if (some) {
    const Tensor part = at::index_select(x, 1, columns);
    const Tensor weights = (at::index_select(codes, 1, columns) * scales.view({-1, 1}) * kOneScale).to(x.scalar_type());
    out = at::addmm(out, part, weights.t());
  }
  return out.view(shape);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor underAutocast(const Tensor& x, const Tensor& codes, const Tensor& scales, double threshold) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  return mixed(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), x, device), codes, scales,
               threshold);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("quantize_rows(Tensor numbers) -> (Tensor, Tensor)", quantizeRows);
  library.def("linear_8bit_mixed(Tensor x, Tensor codes, Tensor scales, float threshold) -> Tensor");
}

TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) { library.impl("linear_8bit_mixed", mixed); }
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCPU, library) {
  library.impl("linear_8bit_mixed", underAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCUDA, library) {
  library.impl("linear_8bit_mixed", underAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
}

}  // namespace qwen_pt

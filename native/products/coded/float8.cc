// Quantizing to 8-bit floats, and products of them.
//
//   quantize_float8(numbers, wide) -> (codes, bytes of e4m3, or e5m2 where `wide`; unit); composite_quantize_float8 by
//     ATen alone, fused_quantize_float8 by an accelerator's kernels

#include "float8.h"

#include "kernels/launchers/float8.h"
#include "kernels/round_up.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_mm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <limits>
#include <tuple>

namespace qwen_pt {

using at::Tensor;

namespace {

at::ScalarType dtypeOf(Float8Format format) {
  return format == Float8Format::e4m3 ? at::kFloat8_e4m3fn : at::kFloat8_e5m2;
}

constexpr int kMantissa = 23;  // bits, of float

/// 2^e for the least e by which a magnitude of at most 1.75 * 2^top reaches `largest`: in the bits of both.
Tensor unitOf(const Tensor& largest, int top) {
  // what is above 1.75 times its power of two carries into the exponent
  const Tensor raised = (largest.view(at::kInt) + 0x1fffff).bitwise_and(0x7f800000);
  const Tensor unit = (raised - (top << kMantissa)).clamp_min(1 << kMantissa).view(at::kFloat);
  return unit + largest * 0;  // no number where that is none: conversions on a processor make something of it
}

}  // namespace

bool isFloat8Input(at::ScalarType dtype) { return dtype == at::kBFloat16 || dtype == at::kHalf || dtype == at::kFloat; }

Float8Matrix Float8Matrix::transposed() const {
  const Tensor bytes = codes.view(at::kByte).t().contiguous();
  return {bytes.view(codes.scalar_type()), unit};
}

Float8Matrix Float8Matrix::padded(int64_t multiple) const {
  const int64_t more = roundUp(codes.size(0), multiple) - codes.size(0);
  if (more == 0) return *this;
  const Tensor bytes = at::constant_pad_nd(codes.view(at::kByte), {0, 0, 0, more});
  return {bytes.view(codes.scalar_type()), unit};
}

Float8Matrix composedFloat8(const Tensor& x, Float8Format format) {
  const auto single = x.options().dtype(at::kFloat);
  const Tensor largest = x.numel() == 0 ? at::zeros(at::IntArrayRef{}, single)
                                        : at::linalg_vector_norm(x, std::numeric_limits<double>::infinity(),
                                                                 std::nullopt, /*keepdim=*/false, at::kFloat);
  const Tensor unit = unitOf(largest, topExponent(format));
  // powers of two are exact in bfloat16 as well; float16 does not reach all of them
  const Tensor wide = x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
  return {wide.mul(unit.reciprocal()).to(dtypeOf(format)).contiguous(), unit};
}

Float8Matrix toFloat8(const Tensor& x, Float8Format format) {
  TORCH_CHECK(x.dim() == 2 && isFloat8Input(x.scalar_type()),
              "a matrix of bfloat16, float16 or float32 is rounded to 8-bit floats, not ", x.scalar_type(), " ",
              x.sizes());
  if (suitsFusedFloat8(x)) return fusedFloat8(x, format);
  return composedFloat8(x, format);
}

Float8Matrix storedFloat8(const Tensor& bytes, const Tensor& unit) {
  TORCH_CHECK(bytes.dim() == 2 && bytes.scalar_type() == at::kByte && bytes.is_contiguous() &&
                  unit.scalar_type() == at::kFloat && unit.numel() == 1,
              "codes uint8 [out, in] and one unit of float32 are needed, not ", bytes.scalar_type(), " ", bytes.sizes(),
              " and ", unit.scalar_type(), " ", unit.sizes());
  return {bytes.view(at::kFloat8_e4m3fn), unit.view(at::IntArrayRef{})};
}

Tensor float8Product(const Float8Matrix& a, const Float8Matrix& b, at::ScalarType dtype, bool fast) {
  TORCH_CHECK(a.codes.size(1) == b.codes.size(1), "matrices ", a.codes.sizes(), " and ", b.codes.sizes(),
              " have not as many columns");
  return at::_scaled_mm(a.codes, b.codes.t(), a.unit, b.unit, /*bias=*/std::nullopt, /*scale_result=*/std::nullopt,
                        dtype, fast);
}

namespace {

Float8Format formatOf(bool wide) { return wide ? Float8Format::e5m2 : Float8Format::e4m3; }

std::tuple<Tensor, Tensor> parts(const Float8Matrix& of) { return {of.codes.view(at::kByte), of.unit}; }

std::tuple<Tensor, Tensor> quantize(const Tensor& numbers, bool wide) {
  return parts(toFloat8(numbers, formatOf(wide)));
}

std::tuple<Tensor, Tensor> composite(const Tensor& numbers, bool wide) {
  return parts(composedFloat8(numbers, formatOf(wide)));
}

std::tuple<Tensor, Tensor> fused(const Tensor& numbers, bool wide) {
  TORCH_CHECK(suitsFusedFloat8(numbers), "no kernel takes these numbers, or runs where they are");
  return parts(fusedFloat8(numbers, formatOf(wide)));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("quantize_float8(Tensor numbers, bool wide=False) -> (Tensor, Tensor)");
  library.def("composite_quantize_float8(Tensor numbers, bool wide=False) -> (Tensor, Tensor)");
  library.def("fused_quantize_float8(Tensor numbers, bool wide=False) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("quantize_float8", quantize);
  library.impl("composite_quantize_float8", composite);
  library.impl("fused_quantize_float8", fused);
}

}  // namespace qwen_pt

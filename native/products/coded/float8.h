// Matrices of 8-bit floats with one scale each, and their product by aten::_scaled_mm: on tensor cores from compute
// capability 8.9 on, elsewhere libtorch's product of what they stand for (Micikevicius et al. 2022, arXiv:2209.05433).
//
// A value is code * unit. The unit is the least power of two by which the largest magnitude still fits: a format with
// exponents loses no digit by that, multiplying by it is exact in 16 bits, and what is quantized twice does not
// change. Weights and activations are e4m3 (3 bits of mantissa, up to 448), gradients of outputs e5m2 (2 bits, up to 57344).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace qwen_pt {

enum class Float8Format { e4m3, e5m2 };

/// What the unit of a largest magnitude takes off its exponent: both formats end at 1.75 times a power of two.
constexpr int topExponent(Float8Format format) { return format == Float8Format::e4m3 ? 8 : 15; }

struct Float8Matrix {
  at::Tensor codes;  // [rows, columns], of float8
  at::Tensor unit;   // [], float

  /// Codes [columns, rows], columns after each other in memory.
  Float8Matrix transposed() const;
  /// With rows of zeros up to a multiple.
  Float8Matrix padded(int64_t multiple) const;
};

/// The multiple that _scaled_mm asks of a weight's sides, and of what is summed over.
constexpr int64_t kFloat8Multiple = 16;

/// Whether a dtype is rounded to 8 bits here.
bool isFloat8Input(at::ScalarType dtype);

/// A matrix in 8 bits. Where a number of it is not finite the unit is NaN, and so is every product. Below autograd.
Float8Matrix toFloat8(const at::Tensor& x, Float8Format format);

/// The same by ATen operators alone.
Float8Matrix composedFloat8(const at::Tensor& x, Float8Format format);

/// What kernels/linear/quantize_float8.cc gave: codes as bytes, and their unit.
Float8Matrix storedFloat8(const at::Tensor& bytes, const at::Tensor& unit);

/// a b^T [m, n] for a [m, k] and b [n, k], rounded to a dtype once. `fast`: sums may be of fewer bits than float's, as
/// cards add them up quickest; what a forward pass can do with.
at::Tensor float8Product(const Float8Matrix& a, const Float8Matrix& b, at::ScalarType dtype, bool fast);

}  // namespace qwen_pt

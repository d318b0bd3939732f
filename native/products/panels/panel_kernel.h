// What the products of 16-bit numbers ask of the processor's vector units, beside the product of floats itself:
// panel_rows.h does it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

struct PanelKernel {
  /// `count` numbers of bfloat16, float16 or float, as float.
  void (*widen)(c10::ScalarType dtype, const void* from, float* to, int64_t count);
  /// to[i] = from[i] * alpha + to[i] * beta, rounded once; with beta = 0, `to` is not read.
  void (*narrow)(c10::ScalarType dtype, const float* from, void* to, int64_t count, float alpha, float beta);
  /// out [m][outStride] = x [m][xStride] . row of a weight, for `count` rows of 16 bits or float: few rows of x, each
  /// weight read once. `m` is at most kDotRows.
  void (*dot)(c10::ScalarType dtype, const float* x, int64_t xStride, int64_t m, const void* rows, int64_t rowStride,
              int64_t count, int64_t width, float* out, int64_t outStride);
};

/// As many rows of x as `dot` takes.
constexpr int64_t kDotRows = 8;

}  // namespace qwen_pt

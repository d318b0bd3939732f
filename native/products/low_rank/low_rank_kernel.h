// What products with a low rank ask of the processor: low_rank_rows.h does it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// Ranks and widths of the float operands are padded with zeros to whole multiples of these.
constexpr int64_t kRankStep = 4;
constexpr int64_t kWidthStep = 96;  // a multiple of two and of three vectors of any length

/// x [rows, width] of 16 bits; with a mask (a byte a number), what it leaves of x, times `factor`, rounded to x's dtype.
struct LowRankInput {
  c10::ScalarType dtype;
  const void* x;
  int64_t stride;  // of x and of the mask
  int64_t width;
  const uint8_t* mask = nullptr;
  float factor = 1;
};

struct LowRankKernel {
  /// h [row][ranks] = x a^T for rows [first, end), with a [ranks][aStride].
  void (*project)(const LowRankInput&, int64_t first, int64_t end, const float* a, int64_t aStride, int64_t ranks,
                  float* h);
  /// y [row][width] += h [row][ranks] b for rows [first, end), with b [ranks][bStride]. Without a mask y has the input's
  /// dtype and is the input's `x`, and the sum is rounded once. With one y is float, and what is added is rounded to the
  /// dtype before the mask and the factor.
  void (*update)(const LowRankInput&, int64_t first, int64_t end, const float* h, int64_t ranks, const float* b,
                 int64_t bStride, void* y, int64_t yStride);
  /// d [ranks][dStride] += h^T x over all rows, for columns [first, end) of x: first is a multiple of kWidthStep.
  void (*reduce)(const LowRankInput&, int64_t rows, int64_t first, int64_t end, const float* h, int64_t ranks, float* d,
                 int64_t dStride);
};

}  // namespace qwen_pt

// Panels of 16-bit numbers as float, and results back, rounded once; and products of few rows, where widening a panel
// would cost more than the product. Compiled once for each capability, with internal linkage.
#pragma once

#include "kernels/widen.h"
#include "panel_kernel.h"

#include <tuple>

namespace qwen_pt {
namespace {

template <typename Out>
struct PanelRows {
  static void narrow(const float* from, Out* to, int64_t count, float alpha, float beta) {
    using Vec = at::vec::Vectorized<float>;
    if (alpha == 1 && beta == 0) return qwen_pt::narrow<Out>(from, to, count);
    constexpr int64_t kPart = 256;
    float sum[kPart];
    for (int64_t start = 0; start < count; start += kPart) {
      const int64_t size = std::min(kPart, count - start);
      if (beta != 0) qwen_pt::widen<Out>(to + start, sum, size);
      forVectors<Vec>(size, [&](int64_t i, int64_t n) {
        Vec x = loadSome<Vec>(from + start + i, n) * Vec(alpha);
        if (beta != 0) x = at::vec::fmadd(loadSome<Vec>(sum + i, n), Vec(beta), x);
        storeSome(x, sum + i, n);
      });
      qwen_pt::narrow<Out>(sum, to + start, size);
    }
  }
};

/// One row of numbers against M rows of floats.
template <int M, typename In>
void dotRow(const float* x, int64_t xStride, const In* row, int64_t width, float* out, int64_t outStride) {
  using Vec = at::vec::Vectorized<float>;
  constexpr int64_t kHalf = Vec::size(), kBoth = 2 * kHalf;
  Vec low[M], high[M];
  for (int m = 0; m < M; ++m) low[m] = high[m] = Vec(0.f);
  int64_t i = 0;
  for (; i + kBoth <= width; i += kBoth) {
    Vec first, second;
    if constexpr (sizeof(In) == 2) {
      std::tie(first, second) = at::vec::convert_to_float<In>(at::vec::Vectorized<In>::loadu(row + i));
    } else {
      first = Vec::loadu(row + i);
      second = Vec::loadu(row + i + kHalf);
    }
    for (int m = 0; m < M; ++m) {
      low[m] = at::vec::fmadd(first, Vec::loadu(x + m * xStride + i), low[m]);
      high[m] = at::vec::fmadd(second, Vec::loadu(x + m * xStride + i + kHalf), high[m]);
    }
  }
  for (int m = 0; m < M; ++m) {
    float sum = sumOf(low[m] + high[m]);
    for (int64_t j = i; j < width; ++j) sum += x[m * xStride + j] * static_cast<float>(row[j]);
    out[m * outStride] = sum;
  }
}

template <typename In>
void dotRows(const float* x, int64_t xStride, int64_t m, const In* rows, int64_t rowStride, int64_t count,
             int64_t width, float* out, int64_t outStride) {
  for (int64_t row = 0; row < count; ++row) {
    const In* weight = rows + row * rowStride;
    int64_t done = 0;
    for (; done + 4 <= m; done += 4)
      dotRow<4>(x + done * xStride, xStride, weight, width, out + done * outStride + row, outStride);
    for (; done < m; ++done)
      dotRow<1>(x + done * xStride, xStride, weight, width, out + done * outStride + row, outStride);
  }
}

}  // namespace
}  // namespace qwen_pt

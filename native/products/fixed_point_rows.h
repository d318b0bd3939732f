// Products of 16-bit integers with sums of 32 bits, on AVX2: vpmaddwd multiplies and adds two pairs in every 32 bits, twice
// as many numbers an instruction as float has. Weights are 12 bits a row (scaled by their largest); each row of x gets as
// many bits as provably keep every sum below 2^31, by Cauchy and Schwarz: |x . w| <= |x| |w|. Compiled once for each
// capability, with internal linkage; where there is no AVX2 the table is empty.
#pragma once

#include "fixed_point_kernel.h"
#include "kernels/matrix_tile.h"
#include "panel_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX2)

C10_ALWAYS_INLINE __m256i fixedLoad(const int16_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

C10_ALWAYS_INLINE void fixedStore(int16_t* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }

/// The largest magnitude; what is not a number wins.
float fixedLargest(const float* x, int64_t count) {
  using Vec = at::vec::Vectorized<float>;
  Vec most(0.f);
  int64_t i = 0;
  for (; i + Vec::size() <= count; i += Vec::size()) most = at::vec::maximum(most, Vec::loadu(x + i).abs());
  if (i < count) most = at::vec::maximum(most, Vec::loadu(x + i, count - i).abs());
  return at::vec::vec_reduce_all<float>(
      [](const Vec& a, const Vec& b) C10_ALWAYS_INLINE_ATTRIBUTE { return at::vec::maximum(a, b); }, most);
}

/// to[i] = round(x[i] * factor) for whole vectors, zeros up to stride; returns the sum of squares.
double fixedRound(const float* x, int64_t count, float factor, int16_t* to, int64_t stride) {
  const __m256 by = _mm256_set1_ps(factor);
  __m256 squares = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), by));
    const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), by));
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    fixedStore(to + i, both);
    squares = _mm256_add_ps(squares, _mm256_cvtepi32_ps(_mm256_madd_epi16(both, both)));
  }
  double sum = sumOf(at::vec::Vectorized<float>(squares));
  for (; i < count; ++i) {
    to[i] = static_cast<int16_t>(std::nearbyint(x[i] * factor));
    sum += static_cast<double>(to[i]) * to[i];
  }
  std::fill(to + count, to + stride, int16_t(0));
  return sum;
}

double fixedQuantizeRows(const float* rows, int64_t count, int64_t width, int16_t* to, int64_t stride, float* scales) {
  double most = 0;
  for (int64_t i = 0; i < kFixedColumns; ++i, to += stride) {
    const float largest = i < count ? fixedLargest(rows + i * width, width) : 0;
    if (i >= count || largest == 0 || !std::isfinite(largest)) {
      std::fill(to, to + stride, int16_t(0));
      if (i < count) scales[i] = largest == 0 ? 0 : std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    scales[i] = largest / kFixedWeightMost;
    most = std::max(most, fixedRound(rows + i * width, width, kFixedWeightMost / largest, to, stride));
  }
  return most;
}

void fixedPackColumns(const int16_t* rows, int64_t stride, int16_t* panel) {
  // a pair travels like a float
  const auto* from = reinterpret_cast<const float*>(rows);
  auto* to = reinterpret_cast<float*>(panel);
  for (int64_t step = 0; step < stride / 2; step += 8) {
    for (int64_t half = 0; half < kFixedColumns; half += 8) {
      at::vec::transpose_mxn<float, 8, 8>(from + half * (stride / 2) + step, stride / 2,
                                          to + step * kFixedColumns + half, kFixedColumns);
    }
  }
}

void fixedPackDepth(const int16_t* rows, int64_t stride, int16_t* to, int64_t panelStride, float* squares) {
  for (int64_t column = 0; column < stride; column += kFixedColumns, to += panelStride) {
    __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    for (int64_t i = 0; i < kFixedColumns; i += 2) {
      const __m256i upper = fixedLoad(rows + i * stride + column), lower = fixedLoad(rows + (i + 1) * stride + column);
      const __m256i a = _mm256_unpacklo_epi16(upper, lower), b = _mm256_unpackhi_epi16(upper, lower);
      const __m256i first = _mm256_permute2x128_si256(a, b, 0x20), second = _mm256_permute2x128_si256(a, b, 0x31);
      fixedStore(to + i * kFixedColumns, first);
      fixedStore(to + i * kFixedColumns + 16, second);
      low = _mm256_add_epi32(low, _mm256_madd_epi16(first, first));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(second, second));
    }
    _mm256_storeu_ps(squares + column, _mm256_add_ps(_mm256_loadu_ps(squares + column), _mm256_cvtepi32_ps(low)));
    _mm256_storeu_ps(squares + column + 8,
                     _mm256_add_ps(_mm256_loadu_ps(squares + column + 8), _mm256_cvtepi32_ps(high)));
  }
}

float fixedQuantizeToken(const float* x, const float* factors, int64_t width, double norm, int16_t* to, int64_t stride) {
  using Vec = at::vec::Vectorized<float>;
  constexpr int64_t kPart = 1024;
  float part[kPart];
  // of a stretch of x with its factors
  const auto scaled = [&](int64_t start, int64_t count) -> const float* {
    if (factors == nullptr) return x + start;
    forVectors<Vec>(count, [&](int64_t i, int64_t n) {
      storeSome(loadSome<Vec>(x + start + i, n) * loadSome<Vec>(factors + start + i, n), part + i, n);
    });
    return part;
  };
  double squares = 0;
  float largest = 0;
  for (int64_t start = 0; start < width; start += kPart) {
    const int64_t count = std::min(kPart, width - start);
    const float* here = scaled(start, count);
    const float most = fixedLargest(here, count);
    if (!(most <= largest)) largest = most;
    if (!std::isfinite(most)) break;
    Vec sum(0.f);
    // against the largest so far, so that no square overflows or vanishes
    const float by = most > 0 ? 1 / most : 0;
    forVectors<Vec>(count, [&](int64_t i, int64_t n) {
      const Vec value = loadSome<Vec>(here + i, n) * Vec(by);
      sum = at::vec::fmadd(value, value, sum);
    });
    squares += static_cast<double>(sumOf(sum)) * most * most;
  }
  if (largest == 0 || !std::isfinite(largest) || !(1 / largest <= std::numeric_limits<float>::max())) {
    std::fill(to, to + stride, int16_t(0));
    return largest == 0 || std::isfinite(largest) ? 0 : std::numeric_limits<float>::quiet_NaN();
  }
  // |q| <= most |x| / largest + sqrt(width) / 2 by rounding, and |q| norm must stay below 2^31
  const double room = 0.9999 * 2147483648.0 / std::max(norm, 1.0) - 0.5 * std::sqrt(static_cast<double>(width));
  const double most = std::min(32767.0, room * largest / (std::sqrt(squares) * 1.0001));
  const float factor = static_cast<float>(most / largest);
  for (int64_t start = 0; start < width; start += kPart) {
    const int64_t count = std::min(kPart, width - start);
    fixedRound(scaled(start, count), count, factor, to + start, count);
  }
  std::fill(to + width, to + stride, int16_t(0));
  return static_cast<float>(largest / most);
}

/// sum + the products of two pairs in every 32 bits. As intrinsics, GCC moves products ahead of their sums and runs out
/// of registers: half of the speed.
C10_ALWAYS_INLINE __m256i fixedAdd(__m256i sum, __m256i a, __m256i b) {
#if defined(__GNUC__)
  __m256i product;
  asm("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a), "x"(b));
  return sum;
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

/// Sums [kFixedRows][kFixedColumns], added to those at `to` unless they are the first.
void fixedTile(const int16_t* x, int64_t stride, const int16_t* panel, int64_t pairs, int32_t* to, bool first) {
  __m256i sums[kFixedRows][2];
  unrolled<kFixedRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    const auto* from = reinterpret_cast<const __m256i*>(to + i * kFixedColumns);
    sums[i][0] = first ? _mm256_setzero_si256() : _mm256_loadu_si256(from);
    sums[i][1] = first ? _mm256_setzero_si256() : _mm256_loadu_si256(from + 1);
  });
#pragma GCC unroll 2
  for (int64_t step = 0; step < pairs; ++step, x += 2, panel += 2 * kFixedColumns) {
    const __m256i left = fixedLoad(panel), right = fixedLoad(panel + kFixedColumns);
    unrolled<kFixedRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      int32_t pair;
      std::memcpy(&pair, x + i * stride, sizeof pair);
      const __m256i both = _mm256_set1_epi32(pair);
      sums[i][0] = fixedAdd(sums[i][0], both, left);
      sums[i][1] = fixedAdd(sums[i][1], both, right);
    });
  }
  unrolled<kFixedRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kFixedColumns), sums[i][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kFixedColumns + 8), sums[i][1]);
  });
}

/// Rows of x that meet a panel before the next, and pairs of a sum before the next: x from a core's second cache, the
/// panel from its first.
constexpr int64_t kFixedBlock = 16 * kFixedRows;
constexpr int64_t kFixedPairs = 256;

/// Sums [rows, kFixedColumns] as numbers, into the result.
template <typename Out>
void fixedWrite(const FixedPointTask& task, int64_t row, int64_t rows, int64_t column, const int32_t* sums) {
  const int64_t columns = std::min(kFixedColumns, task.columns - column);
  float line[kFixedColumns], scales[kFixedColumns];
  std::fill(scales, scales + kFixedColumns, 1.f);
  if (task.columnScales != nullptr) std::copy_n(task.columnScales + column, columns, scales);
  const __m256 low = _mm256_loadu_ps(scales), high = _mm256_loadu_ps(scales + 8);
  for (int64_t i = 0; i < rows; ++i) {
    const auto* sum = reinterpret_cast<const __m256i*>(sums + i * kFixedColumns);
    const __m256 scale = _mm256_set1_ps(task.rowScales[row + i]);
    const __m256 a = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256(sum)), low);
    const __m256 b = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256(sum + 1)), high);
    _mm256_storeu_ps(line, _mm256_mul_ps(a, scale));
    _mm256_storeu_ps(line + 8, _mm256_mul_ps(b, scale));
    Out* out = static_cast<Out*>(task.out) + (row + i) * task.outStride + column;
    PanelRows<Out>::narrow(line, out, columns, 1, task.beta);
  }
}

template <typename Out>
void fixedMultiply(const FixedPointTask& task) {
  alignas(64) int32_t sums[kFixedBlock * kFixedColumns];
  for (int64_t column = 0; column < task.columns; column += kFixedColumns) {
    const int16_t* panel = task.panels + column * task.pairs * 2;
    for (int64_t row = 0; row < task.rows; row += kFixedBlock) {
      const int64_t rows = std::min(kFixedBlock, task.rows - row);
      for (int64_t pair = 0; pair < task.pairs; pair += kFixedPairs) {
        const int64_t pairs = std::min(kFixedPairs, task.pairs - pair);
        for (int64_t i = 0; i < rows; i += kFixedRows) {
          fixedTile(task.x + (row + i) * task.xStride + pair * 2, task.xStride, panel + pair * 2 * kFixedColumns, pairs,
                    sums + i * kFixedColumns, pair == 0);
        }
      }
      fixedWrite<Out>(task, row, rows, column, sums);
    }
  }
}

#endif

}  // namespace
}  // namespace qwen_pt

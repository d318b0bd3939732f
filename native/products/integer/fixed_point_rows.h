// Products of 16-bit integers with sums of 32 bits, on AVX2: vpmaddwd multiplies and adds two pairs in every 32 bits, twice
// as many numbers an instruction as float has. Weights are 12 bits a row (scaled by their largest); each row of x gets as
// many bits as provably keep every sum below 2^31, by Cauchy and Schwarz: |x . w| <= |x| |w|. With AVX-VNNI one instruction,
// vpdpwssd, adds to the sum as well. Compiled once for each capability, with internal linkage; AVX-512 has its own sums
// (fixed_point_vnni_rows.h), and AVX2's of everything else.
#pragma once

#include "fixed_point_kernel.h"
#include "kernels/linear/matrix_tile.h"
#include "products/panels/panel_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX2)

C10_ALWAYS_INLINE __m256i fixedLoad(const int16_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

C10_ALWAYS_INLINE void fixedStore(int16_t* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }

/// 16 numbers as they are stored, as float.
template <typename In>
struct FixedRead;

template <>
struct FixedRead<float> {
  static C10_ALWAYS_INLINE std::pair<__m256, __m256> load(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
};

template <>
struct FixedRead<c10::BFloat16> {
  static C10_ALWAYS_INLINE std::pair<__m256, __m256> load(const c10::BFloat16* from) {
    const auto* at = reinterpret_cast<const __m128i*>(from);
    const auto wide = [](__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); };
    return {wide(_mm_loadu_si128(at)), wide(_mm_loadu_si128(at + 1))};
  }
};

template <>
struct FixedRead<c10::Half> {
  static C10_ALWAYS_INLINE std::pair<__m256, __m256> load(const c10::Half* from) {
    const auto* at = reinterpret_cast<const __m128i*>(from);
    return {_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
  }
};

/// Calls body(i, low, high) with 16 numbers after another, times their factors where there are any; zeros after the last.
template <typename In, typename Body>
C10_ALWAYS_INLINE void fixedEach(const In* x, const float* factors, int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    auto [low, high] = FixedRead<In>::load(x + i);
    if (factors != nullptr) {
      low = _mm256_mul_ps(low, _mm256_loadu_ps(factors + i));
      high = _mm256_mul_ps(high, _mm256_loadu_ps(factors + i + 8));
    }
    body(i, low, high);
  }
  if (i == count) return;
  alignas(32) float rest[16] = {};
  for (int64_t j = i; j < count; ++j) rest[j - i] = static_cast<float>(x[j]) * (factors != nullptr ? factors[j] : 1.f);
  body(i, _mm256_load_ps(rest), _mm256_load_ps(rest + 8));
}

/// The largest magnitude and the sum of squares; where one is not finite, so is the first.
template <typename In>
std::pair<float, double> fixedMeasure(const In* x, const float* factors, int64_t count, bool squares) {
  using Vec = at::vec::Vectorized<float>;
  const __m256 sign = _mm256_set1_ps(-0.f);
  Vec most(0.f), other(0.f), sum(0.f), second(0.f);
  fixedEach(x, factors, count, [&](int64_t, __m256 low, __m256 high) C10_ALWAYS_INLINE_ATTRIBUTE {
    // Vec's maximum keeps what is not a number
    most = at::vec::maximum(most, Vec(_mm256_andnot_ps(sign, low)));
    other = at::vec::maximum(other, Vec(_mm256_andnot_ps(sign, high)));
    if (squares) {
      sum = at::vec::fmadd(Vec(low), Vec(low), sum);
      second = at::vec::fmadd(Vec(high), Vec(high), second);
    }
  });
  const float largest = at::vec::vec_reduce_all<float>(
      [](const Vec& a, const Vec& b) C10_ALWAYS_INLINE_ATTRIBUTE { return at::vec::maximum(a, b); },
      at::vec::maximum(most, other));
  return {largest, squares ? static_cast<double>(sumOf(sum + second)) : 0.0};
}

/// to[i] = round(x[i] * factor), zeros up to stride (a multiple of 16); returns the sum of squares.
template <typename In>
double fixedRound(const In* x, const float* factors, int64_t count, float factor, int16_t* to, int64_t stride) {
  const __m256 by = _mm256_set1_ps(factor);
  __m256 squares = _mm256_setzero_ps();
  fixedEach(x, factors, count, [&](int64_t i, __m256 low, __m256 high) C10_ALWAYS_INLINE_ATTRIBUTE {
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(low, by)), b = _mm256_cvtps_epi32(_mm256_mul_ps(high, by));
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    fixedStore(to + i, both);
    squares = _mm256_add_ps(squares, _mm256_cvtepi32_ps(_mm256_madd_epi16(both, both)));
  });
  const int64_t done = (count + 15) / 16 * 16;
  std::fill(to + done, to + std::max(done, stride), int16_t(0));
  return sumOf(at::vec::Vectorized<float>(squares));
}

template <typename In>
double fixedQuantizeRows(const In* rows, int64_t rowStride, int64_t count, int64_t width, int16_t* to, int64_t stride,
                         float* scales) {
  double most = 0;
  for (int64_t i = 0; i < kFixedColumns; ++i, to += stride) {
    const float largest = i < count ? fixedMeasure(rows + i * rowStride, nullptr, width, false).first : 0;
    if (largest == 0 || !std::isfinite(kFixedWeightMost / largest) || !std::isfinite(largest)) {
      std::fill(to, to + stride, int16_t(0));
      if (i < count) scales[i] = std::isfinite(largest) ? 0 : std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    scales[i] = largest / kFixedWeightMost;
    const double squares = fixedRound(rows + i * rowStride, nullptr, width, kFixedWeightMost / largest, to, stride);
    most = std::max(most, squares);
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

template <typename In>
float fixedQuantizeToken(const In* x, const float* factors, int64_t width, double norm, int16_t* to, int64_t stride) {
  auto [largest, squares] = fixedMeasure(x, factors, width, true);
  const auto none = [&](float unit) {
    std::fill(to, to + stride, int16_t(0));
    return unit;
  };
  if (!std::isfinite(largest)) return none(std::numeric_limits<float>::quiet_NaN());
  // squares that vanish or overflow in float: the largest alone bounds them
  if (!std::isfinite(squares) || squares < 1e-30)
    squares = static_cast<double>(largest) * largest * static_cast<double>(width);
  // |q| <= most |x| / largest + sqrt(width) / 2 by rounding, and |q| norm must stay below 2^31
  const double room = 0.9999 * 2147483648.0 / std::max(norm, 1.0) - 0.5 * std::sqrt(static_cast<double>(width));
  const double most = std::min(32767.0, room * largest / (std::sqrt(squares) * 1.0001));
  const auto factor = static_cast<float>(most / largest);
  if (largest == 0 || !std::isfinite(factor)) return none(0);
  fixedRound(x, factors, width, factor, to, stride);
  return static_cast<float>(largest / most);
}

/// sum + the products of two pairs in every 32 bits. As intrinsics, GCC moves products ahead of their sums and runs out
/// of registers: half of the speed.
C10_ALWAYS_INLINE __m256i fixedAdd(__m256i sum, __m256i a, __m256i b) {
#if defined(__GNUC__)
#if defined(__AVXVNNI__)
  asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
#else
  __m256i product;
  asm("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a), "x"(b));
#endif
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

/// Sums [rows, kFixedColumns] as numbers, into the result of a task of integers, 16 bits or 8.
template <typename Out, typename Task>
void fixedWrite(const Task& task, int64_t row, int64_t rows, int64_t column, const int32_t* sums) {
  const int64_t columns = std::min(kFixedColumns, task.columns - column);
  float line[kFixedColumns], scales[kFixedColumns];
  std::fill(scales, scales + kFixedColumns, 1.f);
  if (task.columnScales != nullptr) std::copy_n(task.columnScales + column, columns, scales);
  const __m256 low = _mm256_loadu_ps(scales), high = _mm256_loadu_ps(scales + 8);
  const bool whole = columns == kFixedColumns && task.beta == 0;
  for (int64_t i = 0; i < rows; ++i) {
    const auto* sum = reinterpret_cast<const __m256i*>(sums + i * kFixedColumns);
    const __m256 scale = _mm256_set1_ps(task.rowScales[row + i]);
    const __m256 a = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256(sum)), low);
    const __m256 b = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256(sum + 1)), high);
    Out* out = static_cast<Out*>(task.out) + (row + i) * task.outStride + column;
    if constexpr (sizeof(Out) == 2) {
      if (whole) {
        using Vec = at::vec::Vectorized<float>;
        at::vec::convert_from_float<Out>(Vec(_mm256_mul_ps(a, scale)), Vec(_mm256_mul_ps(b, scale))).store(out);
        continue;
      }
    }
    _mm256_storeu_ps(line, _mm256_mul_ps(a, scale));
    _mm256_storeu_ps(line + 8, _mm256_mul_ps(b, scale));
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

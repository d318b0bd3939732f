// Products of 8-bit integers with sums of 32 bits, on AVX2: vpmaddubsw multiplies unsigned by signed bytes and adds two
// pairs in every 16 bits, four times as many numbers an instruction as float has, but saturates. Here the weights are
// rounded so that it cannot: where x's integers are at most 255, four products stay within 16 bits if the positive weights
// among the four add up to 128 at most, and the negative ones too. Then two results are added in 16 bits before they are
// widened. The four are places
// 0, 1, 4 and 5 of each eight along the sum, or the others: rows are scaled so that this holds along them and across
// them, and one set of integers serves both directions. Compiled once for each capability, with internal linkage; where
// there is no AVX2 the table is empty.
#pragma once

#include "fixed_point_rows.h"
#include "int8_kernel.h"

#include <vector>

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX2)

/// What the weights of four products may add up to before they are rounded: half a unit each less than 128.
constexpr float kInt8Most = 126;

/// Of eight numbers, the sums of those that share 16 bits: 0, 1, 4, 5 in the first place, 2, 3, 6, 7 in the second.
C10_ALWAYS_INLINE __m128 int8Fours(__m256 x) {
  const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  return _mm_hadd_ps(sums, sums);
}

/// The largest of a row's magnitudes, and of the sums that share 16 bits.
inline std::pair<float, float> int8Bounds(const float* row, int64_t width) {
  const __m256 sign = _mm256_set1_ps(-0.f), zero = _mm256_setzero_ps();
  __m256 most = zero;
  __m128 sums = _mm_setzero_ps();
  for (int64_t i = 0; i < width; i += kInt8Depth) {
    __m256 x;
    if (i + kInt8Depth <= width) {
      x = _mm256_loadu_ps(row + i);
    } else {
      alignas(32) float rest[kInt8Depth] = {};
      std::copy_n(row + i, width - i, rest);
      x = _mm256_load_ps(rest);
    }
    most = _mm256_max_ps(most, _mm256_andnot_ps(sign, x));
    sums = _mm_max_ps(sums, int8Fours(_mm256_max_ps(x, zero)));
    sums = _mm_max_ps(sums, int8Fours(_mm256_max_ps(_mm256_sub_ps(zero, x), zero)));
  }
  alignas(32) float each[8];
  _mm256_store_ps(each, most);
  alignas(16) float shared[4];
  _mm_store_ps(shared, sums);
  return {*std::max_element(each, each + 8), std::max(shared[0], shared[1])};
}

/// The largest sum that shares 16 bits across rows, each row times its factor.
inline float int8BoundAcross(const float* rows, int64_t count, int64_t width, const float* factors) {
  float most = 0;
  for (int64_t i = 0; i < width; ++i) {
    float sums[4] = {};
    for (int64_t row = 0; row < count; ++row) {
      const float x = rows[row * width + i] * factors[row];
      float* pair = sums + (row % 4 < 2 ? 0 : 2);
      pair[0] += std::max(x, 0.f);
      pair[1] += std::max(-x, 0.f);
    }
    most = std::max({most, sums[0], sums[1], sums[2], sums[3]});
  }
  return most;
}

inline bool int8IsFinite(const float* row, int64_t width) {
  float sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += row[i] * 0.f;
  return sum == 0;
}

void int8QuantizeRows(const float* rows, int64_t count, int64_t width, int8_t* to, float* scales) {
  float factors[kInt8Depth] = {};
  for (int64_t row = 0; row < count; ++row) {
    const auto [largest, shared] = int8Bounds(rows + row * width, width);
    const float factor = std::min(127 / largest, kInt8Most / shared);
    const bool finite = int8IsFinite(rows + row * width, width);
    factors[row] = finite && std::isfinite(factor) ? factor : 0;
    scales[row] = finite ? 0 : std::numeric_limits<float>::quiet_NaN();
  }
  const float across = int8BoundAcross(rows, count, width, factors);
  for (int64_t row = 0; row < count; ++row) {
    if (factors[row] == 0) {
      std::fill_n(to + row * width, width, int8_t(0));
      continue;
    }
    if (across > kInt8Most) factors[row] *= kInt8Most / across;
    scales[row] = 1 / factors[row];
    const float* from = rows + row * width;
    int8_t* codes = to + row * width;
    for (int64_t i = 0; i < width; ++i) codes[i] = static_cast<int8_t>(std::nearbyint(from[i] * factors[row]));
  }
}

void int8PackColumns(const int8_t* rows, int64_t rowStride, int64_t count, int64_t width, int64_t stride,
                     int8_t* panel) {
  // a quad travels like a float
  std::vector<float> quads(kInt8Columns * stride / 4);
  auto* row = reinterpret_cast<int8_t*>(quads.data());
  for (int64_t i = 0; i < count; ++i) std::copy_n(rows + i * rowStride, width, row + i * stride);
  const float* from = quads.data();
  auto* to = reinterpret_cast<float*>(panel);
  for (int64_t step = 0; step < stride / 4; step += 8) {
    for (int64_t half = 0; half < kInt8Columns; half += 8) {
      at::vec::transpose_mxn<float, 8, 8>(from + half * (stride / 4) + step, stride / 4,
                                          to + step * kInt8Columns + half, kInt8Columns);
    }
  }
}

void int8PackDepth(const int8_t* rows, int64_t rowStride, int64_t count, int64_t width, int8_t* to,
                   int64_t panelStride) {
  for (int64_t column = 0; column < width; column += kInt8Columns, to += panelStride) {
    __m128i quad[4];
    for (int64_t i = 0; i < 4; ++i) {
      alignas(16) int8_t part[kInt8Columns] = {};
      const int8_t* from = rows + i * rowStride + column;
      if (i >= count || column + kInt8Columns > width) {
        if (i < count) std::copy_n(from, width - column, part);
        from = part;
      }
      quad[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    }
    const __m128i a = _mm_unpacklo_epi8(quad[0], quad[1]), b = _mm_unpacklo_epi8(quad[2], quad[3]);
    const __m128i c = _mm_unpackhi_epi8(quad[0], quad[1]), d = _mm_unpackhi_epi8(quad[2], quad[3]);
    auto* out = reinterpret_cast<__m128i*>(to);
    _mm_storeu_si128(out, _mm_unpacklo_epi16(a, b));
    _mm_storeu_si128(out + 1, _mm_unpackhi_epi16(a, b));
    _mm_storeu_si128(out + 2, _mm_unpacklo_epi16(c, d));
    _mm_storeu_si128(out + 3, _mm_unpackhi_epi16(c, d));
  }
}

template <typename In>
float int8QuantizeToken(const In* x, const float* factors, int64_t width, uint8_t* to, int64_t stride) {
  const float largest = fixedMeasure(x, factors, width, false).first;
  const float factor = 127 / largest;
  if (!std::isfinite(largest) || largest == 0 || !std::isfinite(factor)) {
    std::fill(to, to + stride, static_cast<uint8_t>(kInt8Zero));
    return std::isfinite(largest) ? 0 : std::numeric_limits<float>::quiet_NaN();
  }
  const __m256 by = _mm256_set1_ps(factor);
  const __m128i zero = _mm_set1_epi8(static_cast<char>(kInt8Zero));
  fixedEach(x, factors, width, [&](int64_t i, __m256 low, __m256 high) C10_ALWAYS_INLINE_ATTRIBUTE {
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(low, by)), b = _mm256_cvtps_epi32(_mm256_mul_ps(high, by));
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_xor_si128(bytes, zero));
  });
  const int64_t done = (width + 15) / 16 * 16;
  std::fill(to + done, to + std::max(done, stride), static_cast<uint8_t>(kInt8Zero));
  return largest / 127;
}

/// sums + the products of eight numbers in every 32 bits. As intrinsics, GCC moves products ahead of their sums and runs
/// out of registers.
C10_ALWAYS_INLINE void int8Add(__m256i (&sums)[2], const uint8_t* x, const __m256i (&first)[2],
                               const __m256i (&second)[2], __m256i ones) {
  __m256i left, right, left2, right2;
  int32_t quad, next;
  std::memcpy(&quad, x, sizeof quad);
  std::memcpy(&next, x + 4, sizeof next);
#if defined(__GNUC__)
  asm("vpbroadcastd %4, %2\n\tvpbroadcastd %5, %3\n\t"
      "vpmaddubsw %6, %2, %0\n\tvpmaddubsw %7, %2, %2\n\t"
      "vpmaddubsw %8, %3, %1\n\tvpmaddubsw %9, %3, %3\n\t"
      "vpaddw %1, %0, %0\n\tvpaddw %3, %2, %2\n\t"
      "vpmaddwd %10, %0, %0\n\tvpmaddwd %10, %2, %2"
      : "=&x"(left), "=&x"(left2), "=&x"(right), "=&x"(right2)
      : "m"(*reinterpret_cast<const int32_t*>(x)), "m"(*reinterpret_cast<const int32_t*>(x + 4)), "x"(first[0]),
        "x"(first[1]), "x"(second[0]), "x"(second[1]), "x"(ones));
#else
  const __m256i a = _mm256_set1_epi32(quad), b = _mm256_set1_epi32(next);
  left2 = _mm256_add_epi16(_mm256_maddubs_epi16(a, first[0]), _mm256_maddubs_epi16(b, second[0]));
  right2 = _mm256_add_epi16(_mm256_maddubs_epi16(a, first[1]), _mm256_maddubs_epi16(b, second[1]));
  left = _mm256_madd_epi16(left2, ones);
  right = _mm256_madd_epi16(right2, ones);
#endif
  sums[0] = _mm256_add_epi32(sums[0], left);
  sums[1] = _mm256_add_epi32(sums[1], right);
}

/// Sums [kInt8Rows][kInt8Columns], added to those at `to`, or to what x's zero is worth where they are the first.
void int8Tile(const uint8_t* x, int64_t stride, const int8_t* panel, int64_t quads, int32_t* to,
              const int32_t* beginning) {
  __m256i sums[kInt8Rows][2];
  unrolled<kInt8Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    const auto* from = reinterpret_cast<const __m256i*>(beginning != nullptr ? beginning : to + i * kInt8Columns);
    sums[i][0] = _mm256_loadu_si256(from);
    sums[i][1] = _mm256_loadu_si256(from + 1);
  });
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t step = 0; step < quads; step += 2, x += 8, panel += 8 * kInt8Columns) {
    const auto* from = reinterpret_cast<const __m256i*>(panel);
    const __m256i first[2] = {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
    const __m256i second[2] = {_mm256_loadu_si256(from + 2), _mm256_loadu_si256(from + 3)};
    unrolled<kInt8Rows>([&](auto i)
                            C10_ALWAYS_INLINE_ATTRIBUTE { int8Add(sums[i], x + i * stride, first, second, ones); });
  }
  unrolled<kInt8Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kInt8Columns), sums[i][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kInt8Columns + 8), sums[i][1]);
  });
}

/// Rows of x that meet a panel before the next, and quads of a sum before the next.
constexpr int64_t kInt8Block = 24 * kInt8Rows;
constexpr int64_t kInt8Quads = 256;

template <typename Out>
void int8Multiply(const Int8Task& task) {
  alignas(64) int32_t sums[kInt8Block * kInt8Columns];
  alignas(32) int32_t beginning[kInt8Columns];
  for (int64_t column = 0; column < task.columns; column += kInt8Columns) {
    const int8_t* panel = task.panels + column * task.quads * 4;
    for (int64_t i = 0; i < kInt8Columns; ++i) beginning[i] = -kInt8Zero * task.sums[column + i];
    for (int64_t row = 0; row < task.rows; row += kInt8Block) {
      const int64_t rows = std::min(kInt8Block, task.rows - row);
      for (int64_t quad = 0; quad < task.quads; quad += kInt8Quads) {
        const int64_t quads = std::min(kInt8Quads, task.quads - quad);
        for (int64_t i = 0; i < rows; i += kInt8Rows) {
          int8Tile(task.x + (row + i) * task.xStride + quad * 4, task.xStride, panel + quad * 4 * kInt8Columns, quads,
                   sums + i * kInt8Columns, quad == 0 ? beginning : nullptr);
        }
      }
      fixedWrite<Out>(task, row, rows, column, sums);
    }
  }
}

#endif

}  // namespace
}  // namespace qwen_pt

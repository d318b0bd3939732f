// Products of 8-bit integers with sums of 32 bits, by AVX512_VNNI: vpdpbusd multiplies unsigned by signed bytes and adds
// four products to every 32 bits at once, which cannot saturate. So a row of weights has 8 bits of its largest here, where
// AVX2's sums of 16 bits (int8_rows.h) leave about 7. Compiled once for each capability, with internal linkage.
#pragma once

#include "int8_kernel.h"
#include "kernels/linear/matrix_tile.h"
#include "kernels/transpose16.h"
#include "products/panels/panel_rows.h"
#include "vnni_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__)

/// The largest magnitude, not a number where one is none; where there are factors each number times its own.
template <typename Vec, typename Each>
C10_ALWAYS_INLINE float int8Largest(int64_t count, const Each& each) {
  Vec most(0.f), other(0.f);
  int64_t i = 0;
  for (; i + 2 * Vec::size() <= count; i += 2 * Vec::size()) {
    // Vec's maximum keeps what is not a number
    most = at::vec::maximum(most, each(i, Vec::size()).abs());
    other = at::vec::maximum(other, each(i + Vec::size(), Vec::size()).abs());
  }
  for (; i < count; i += Vec::size()) {
    most = at::vec::maximum(most, each(i, std::min<int64_t>(Vec::size(), count - i)).abs());
  }
  return at::vec::vec_reduce_all<float>([](const Vec& a, const Vec& b)
                                            C10_ALWAYS_INLINE_ATTRIBUTE { return at::vec::maximum(a, b); },
                                        at::vec::maximum(most, other));
}

/// x times a factor as bytes, ties to even, zeros beyond what is there.
C10_ALWAYS_INLINE __m128i int8Rounded(at::vec::Vectorized<float> x, __m512 factor) {
  return _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)));
}

void int8QuantizeRows(const float* rows, int64_t count, int64_t width, int8_t* to, float* scales) {
  using Vec = at::vec::Vectorized<float>;
  for (int64_t row = 0; row < count; ++row, rows += width, to += width) {
    const float largest = int8Largest<Vec>(width, [&](int64_t i, int64_t n) { return loadSome<Vec>(rows + i, n); });
    const float factor = 127 / largest;
    if (!std::isfinite(largest) || !std::isfinite(factor)) {
      std::fill_n(to, width, int8_t(0));
      scales[row] = std::isfinite(largest) ? 0 : std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    scales[row] = largest / 127;
    const __m512 by = _mm512_set1_ps(factor);
    forVectors<Vec>(width, [&](int64_t i, int64_t n) {
      const auto there = static_cast<__mmask16>((1u << n) - 1);
      _mm_mask_storeu_epi8(to + i, there, int8Rounded(loadSome<Vec>(rows + i, n), by));
    });
  }
}

/// `bytes` of 64 from there, zeros beyond.
C10_ALWAYS_INLINE __m512i int8LoadSome(const int8_t* from, int64_t bytes) {
  if (bytes >= 64) return _mm512_loadu_si512(from);
  const __mmask64 there = bytes <= 0 ? 0 : (uint64_t(1) << bytes) - 1;
  return _mm512_maskz_loadu_epi8(there, from);
}

void int8PackColumns(const int8_t* rows, int64_t rowStride, int64_t count, int64_t width, int64_t stride,
                     int8_t* panel) {
  for (int64_t at = 0; at < stride; at += 64) {
    __m512i quads[16];
    unrolled<16>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      quads[i] = i < count ? int8LoadSome(rows + i * rowStride + at, width - at) : _mm512_setzero_si512();
    });
    transpose16(quads);
    unrolled<16>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      // a stride of an odd number of 32 ends in the middle
      if (at + 4 * i < stride) _mm512_storeu_si512(panel + (at / 4 + i) * 4 * kInt8Columns, quads[i]);
    });
  }
}

void int8PackDepth(const int8_t* rows, int64_t rowStride, int64_t count, int64_t width, int8_t* to,
                   int64_t panelStride) {
  for (int64_t column = 0; column < width; column += 64, to += 4 * panelStride) {
    __m512i quad[4];
    unrolled<4>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      quad[i] = i < count ? int8LoadSome(rows + i * rowStride + column, width - column) : _mm512_setzero_si512();
    });
    const __m512i a = _mm512_unpacklo_epi8(quad[0], quad[1]), b = _mm512_unpacklo_epi8(quad[2], quad[3]);
    const __m512i c = _mm512_unpackhi_epi8(quad[0], quad[1]), d = _mm512_unpackhi_epi8(quad[2], quad[3]);
    // of every lane, 16 columns, four quads each
    const __m512i first = _mm512_unpacklo_epi16(a, b), second = _mm512_unpackhi_epi16(a, b);
    const __m512i third = _mm512_unpacklo_epi16(c, d), fourth = _mm512_unpackhi_epi16(c, d);
    const __m512i e = _mm512_shuffle_i32x4(first, second, 0x44), f = _mm512_shuffle_i32x4(third, fourth, 0x44);
    const __m512i g = _mm512_shuffle_i32x4(first, second, 0xee), h = _mm512_shuffle_i32x4(third, fourth, 0xee);
    const __m512i panels[4] = {_mm512_shuffle_i32x4(e, f, 0x88), _mm512_shuffle_i32x4(e, f, 0xdd),
                               _mm512_shuffle_i32x4(g, h, 0x88), _mm512_shuffle_i32x4(g, h, 0xdd)};
    unrolled<4>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      if (column + i * kInt8Columns < width) _mm512_storeu_si512(to + i * panelStride, panels[i]);
    });
  }
}

template <typename In>
float int8QuantizeToken(const In* x, const float* factors, int64_t width, uint8_t* to, int64_t stride) {
  using Vec = at::vec::Vectorized<float>;
  const auto each = [&](int64_t i, int64_t n) C10_ALWAYS_INLINE_ATTRIBUTE {
    const Vec numbers = loadNumbers(x + i, n);
    return factors == nullptr ? numbers : numbers * loadSome<Vec>(factors + i, n);
  };
  const float largest = int8Largest<Vec>(width, each);
  const float factor = 127 / largest;
  if (!std::isfinite(largest) || !std::isfinite(factor)) {
    std::fill(to, to + stride, static_cast<uint8_t>(kInt8Zero));
    return std::isfinite(largest) ? 0 : std::numeric_limits<float>::quiet_NaN();
  }
  const __m512 by = _mm512_set1_ps(factor);
  const __m128i zero = _mm_set1_epi8(static_cast<char>(kInt8Zero));
  forVectors<Vec>(width, [&](int64_t i, int64_t n) C10_ALWAYS_INLINE_ATTRIBUTE {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_xor_si128(int8Rounded(each(i, n), by), zero));
  });
  const int64_t done = (width + 15) / 16 * 16;
  std::fill(to + done, to + std::max(done, stride), static_cast<uint8_t>(kInt8Zero));
  return largest / 127;
}

/// Eight bits in tiles (vnni_tiles.h): four products to a sum at once, and rows that x's zero is taken from.
struct Int8Dots {
  using Task = Int8Task;
  static constexpr int64_t kTogether = 4, kFewRows = kInt8Rows, kTileRows = 3 * kInt8Rows;

  static int64_t depth(const Task& task) { return task.quads; }
  static int32_t beginning(const Task& task, int64_t column) { return -kInt8Zero * task.sums[column]; }
  static C10_ALWAYS_INLINE __m512i add(__m512i sums, __m512i x, __m512i weights) {
    return _mm512_dpbusd_epi32(sums, x, weights);
  }
};

template <typename Out>
void int8Multiply(const Int8Task& task) {
  static_assert(kInt8Columns == kTileColumns);
  multiplyTiles<Int8Dots, Out>(task);
}

#endif

}  // namespace
}  // namespace qwen_pt

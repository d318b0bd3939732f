// Products of 8-bit integers with sums of 32 bits, by AVX512_VNNI: vpdpbusd multiplies unsigned by signed bytes and adds
// four products to every 32 bits at once, which cannot saturate. So a row of weights has 8 bits of its largest here, where
// AVX2's sums of 16 bits (int8_rows.h) leave about 7. Two panels of columns meet twelve rows of x, a sum for each pair in
// the registers. Compiled once for each capability, with internal linkage.
#pragma once

#include "int8_kernel.h"
#include "kernels/linear/matrix_tile.h"
#include "kernels/transpose16.h"
#include "products/panels/panel_rows.h"

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

/// 16 numbers of any type as float, `n` of them there.
template <typename In>
C10_ALWAYS_INLINE at::vec::Vectorized<float> int8Load(const In* from, int64_t n) {
  if (n == 16) {
    if constexpr (std::is_same_v<In, c10::BFloat16>) {
      const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    } else if constexpr (std::is_same_v<In, c10::Half>) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    } else {
      return _mm512_loadu_ps(from);
    }
  }
  alignas(64) float rest[16] = {};
  for (int64_t i = 0; i < n; ++i) rest[i] = static_cast<float>(from[i]);
  return _mm512_load_ps(rest);
}

template <typename In>
float int8QuantizeToken(const In* x, const float* factors, int64_t width, uint8_t* to, int64_t stride) {
  using Vec = at::vec::Vectorized<float>;
  const auto each = [&](int64_t i, int64_t n) C10_ALWAYS_INLINE_ATTRIBUTE {
    const Vec numbers = int8Load(x + i, n);
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

/// Rows of x in a tile, and panels of columns.
constexpr int kInt8TileRows = 12, kInt8TilePanels = 2;
/// Rows of x that meet panels before the next, and quads of a sum before the next.
constexpr int64_t kInt8Block = 16 * kInt8TileRows;
constexpr int64_t kInt8Quads = 512;

/// Sixteen sums of a row as numbers, as many as there are columns, into the result.
template <typename Out, typename Task>
C10_ALWAYS_INLINE void int8Write(const Task& task, int64_t row, int64_t column, __m512i sums, __m512 columnScale) {
  using Vec = at::vec::Vectorized<float>;
  const __m512 scale = _mm512_set1_ps(task.rowScales[row]);
  Vec numbers = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), columnScale), scale);
  Out* out = static_cast<Out*>(task.out) + row * task.outStride + column;
  const int64_t columns = task.columns - column;
  if (columns < kInt8Columns) {
    alignas(64) float line[kInt8Columns];
    numbers.store(line);
    PanelRows<Out>::narrow(line, out, columns, 1, task.beta);
    return;
  }
  if (task.beta != 0) numbers = at::vec::fmadd(int8Load(out, kInt8Columns), Vec(task.beta), numbers);
  if constexpr (std::is_same_v<Out, c10::BFloat16>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), at::vec::cvtfp32_bf16(numbers));
  } else if constexpr (std::is_same_v<Out, c10::Half>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), at::vec::cvtfp32_fp16(numbers));
  } else {
    numbers.store(out);
  }
}

/// Where the sums of some columns go as numbers, of a task of integers, 8 bits or 16.
template <int Panels, typename Task = Int8Task>
struct Int8Columns {
  const Task& task;
  int64_t column;
  __m512 scales[Panels];

  Int8Columns(const Task& of, int64_t first) : task(of), column(first) {
    for (int64_t p = 0; p < Panels; ++p) {
      const int64_t from = column + p * kInt8Columns;
      const auto there = std::clamp<int64_t>(task.columns - from, 0, kInt8Columns);
      const auto mask = static_cast<__mmask16>((1u << there) - 1);
      scales[p] =
          task.columnScales == nullptr ? _mm512_set1_ps(1.f) : _mm512_maskz_loadu_ps(mask, task.columnScales + from);
    }
  }

  /// A row's, from the registers.
  template <typename Out>
  C10_ALWAYS_INLINE void write(int64_t row, const __m512i (&sums)[Panels]) const {
#if defined(__AVX512BF16__)
    if constexpr (std::is_same_v<Out, c10::BFloat16> && Panels == 2) {
      if (column + 2 * kInt8Columns <= task.columns) return writeBoth(row, sums);
    }
#endif
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      const int64_t first = column + p * kInt8Columns;
      if (first < task.columns) int8Write<Out>(task, row, first, sums[p], scales[p]);
    });
  }

 private:
#if defined(__AVX512BF16__)
  /// A whole line of bfloat16, rounded by one instruction.
  C10_ALWAYS_INLINE void writeBoth(int64_t row, const __m512i (&sums)[Panels]) const {
    using Vec = at::vec::Vectorized<float>;
    const __m512 scale = _mm512_set1_ps(task.rowScales[row]);
    auto* out = static_cast<c10::BFloat16*>(task.out) + row * task.outStride + column;
    Vec numbers[2];
    unrolled<2>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      numbers[p] = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[p]), scales[p]), scale);
      if (task.beta == 0) return;
      numbers[p] = at::vec::fmadd(int8Load(out + p * kInt8Columns, kInt8Columns), Vec(task.beta), numbers[p]);
    });
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(numbers[1], numbers[0]));
  }
#endif
};

/// Sums of Rows rows and Panels panels, added to those at `kept` [Rows][Panels][kInt8Columns], or to what x's zero is worth
/// where they are the first; into the result where they are whole, from `row` on, of which there are `rows`.
template <int Rows, int Panels, typename Out>
void int8Tile(const uint8_t* x, int64_t stride, const int8_t* panel, int64_t panelStride, int64_t quads, int32_t* kept,
              const int32_t* beginning, const Int8Columns<Panels>* into, int64_t row, int64_t rows) {
  __m512i sums[Rows][Panels];
  unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      const int32_t* from = beginning != nullptr ? beginning : kept + i * Panels * kInt8Columns;
      sums[i][p] = _mm512_loadu_si512(from + p * kInt8Columns);
    });
  });
  for (int64_t step = 0; step < quads; ++step, x += 4, panel += 4 * kInt8Columns) {
    __m512i weights[Panels];
    unrolled<Panels>([&](auto p)
                         C10_ALWAYS_INLINE_ATTRIBUTE { weights[p] = _mm512_loadu_si512(panel + p * panelStride); });
    unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      int32_t quad;
      std::memcpy(&quad, x + i * stride, sizeof quad);
      const __m512i four = _mm512_set1_epi32(quad);
      unrolled<Panels>(
          [&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE { sums[i][p] = _mm512_dpbusd_epi32(sums[i][p], four, weights[p]); });
    });
  }
  unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    if (into != nullptr) {
      // x's rows are there up to a multiple of kInt8Rows, the result's are not
      if (i < rows) into->template write<Out>(row + i, sums[i]);
      return;
    }
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      _mm512_storeu_si512(kept + (i * Panels + p) * kInt8Columns, sums[i][p]);
    });
  });
}

/// Columns from there on, all rows: whole tiles, then smaller ones.
template <int Panels, typename Out>
void int8Panels(const Int8Task& task, int64_t column, int32_t* kept) {
  alignas(64) int32_t beginning[Panels * kInt8Columns];
  for (int64_t i = 0; i < Panels * kInt8Columns; ++i) beginning[i] = -kInt8Zero * task.sums[column + i];
  const Int8Columns<Panels> result(task, column);
  const int64_t panelStride = task.quads * 4 * kInt8Columns;
  for (int64_t row = 0; row < task.rows; row += kInt8Block) {
    const int64_t rows = std::min(kInt8Block, task.rows - row);
    for (int64_t quad = 0; quad < task.quads; quad += kInt8Quads) {
      const int64_t quads = std::min(kInt8Quads, task.quads - quad);
      const Int8Columns<Panels>* into = quad + quads == task.quads ? &result : nullptr;
      const int8_t* panel = task.panels + column * task.quads * 4 + quad * 4 * kInt8Columns;
      for (int64_t i = 0; i < rows;) {
        const bool whole = i + kInt8TileRows <= rows;
        const auto tile = whole ? int8Tile<kInt8TileRows, Panels, Out> : int8Tile<kInt8Rows, Panels, Out>;
        tile(task.x + (row + i) * task.xStride + quad * 4, task.xStride, panel, panelStride, quads,
             kept + i * Panels * kInt8Columns, quad == 0 ? beginning : nullptr, into, row + i, rows - i);
        i += whole ? kInt8TileRows : kInt8Rows;
      }
    }
  }
}

template <typename Out>
void int8Multiply(const Int8Task& task) {
  constexpr int64_t kWidth = kInt8TilePanels * kInt8Columns;
  alignas(64) int32_t kept[kInt8Block * kWidth];
  const int64_t panels = roundUp(task.columns, kInt8Columns);
  int64_t column = 0;
  for (; column + kWidth <= panels; column += kWidth) int8Panels<kInt8TilePanels, Out>(task, column, kept);
  if (column < panels) int8Panels<1, Out>(task, column, kept);
}

#endif

}  // namespace
}  // namespace qwen_pt

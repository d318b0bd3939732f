// Packed products of bfloat16 by the processor's own pairs of them (AVX512_BF16). Both operands are read in the order in
// which they are used, so that the loop does nothing but multiply: a row of a panel, 2 vectors, meets 12 numbers of x,
// 24 sums in all. On Zen 4 it runs at 0.99 of what the instruction can do, libtorch's product at 0.85 to 0.9.
// Compiled for that capability alone, with internal linkage.
#pragma once

#include "kernels/round_up.h"
#include "kernels/transpose16.h"
#include "packed_kernel.h"

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
#include <c10/macros/Macros.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace qwen_pt {
namespace {

/// Of 32 numbers from `left` on, those that there are.
inline __mmask32 there(int64_t left) { return left >= 32 ? ~__mmask32(0) : left <= 0 ? 0 : (__mmask32(1) << left) - 1; }

/// One column of pairs: of a tile of x the first 12, of half a panel all 16.
template <bool tile>
C10_ALWAYS_INLINE void storePairs(uint16_t* to, __m512i pairs) {
  if constexpr (tile) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(pairs));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16), _mm512_extracti32x4_epi32(pairs, 2));
  } else {
    _mm512_storeu_si512(to, pairs);
  }
}

/// Rows, `count` of them there, as columns of pairs: pair j at to + j * step.
template <bool tile>
void packAlong(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to, int64_t step) {
  constexpr int kAll = tile ? kPackedRows : 16;
  int64_t start = 0;
  if (count >= kAll) {
    // whole blocks, unrolled: the loads of the next are under way while one is transposed
    for (; start + 32 <= depth; start += 32, to += 16 * step) {
      __m512i r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        r[i] = i < kAll ? _mm512_loadu_si512(from + i * stride + start) : _mm512_setzero_si512();
      }
      transpose16(r);
#pragma GCC unroll 16
      for (int j = 0; j < 16; ++j) storePairs<tile>(to + j * step, r[j]);
    }
  }
  for (; start < depth; start += 32) {
    const __mmask32 mask = there(depth - start);
    __m512i r[16];
    for (int i = 0; i < 16; ++i) {
      const bool given = i < std::min<int64_t>(count, kAll);
      r[i] = given ? _mm512_maskz_loadu_epi16(mask, from + i * stride + start) : _mm512_setzero_si512();
    }
    transpose16(r);
    const int64_t pairs = std::min<int64_t>((depth - start + 1) / 2, 16);
    for (int64_t j = 0; j < pairs; ++j, to += step) storePairs<tile>(to, r[j]);
  }
}

/// Two rows of `count` <= 32 numbers as 32 pairs: the first 16, and the rest.
struct PairsAcross {
  __m512i low, high;

  PairsAcross(const uint16_t* first, const uint16_t* second, int64_t count) {
    const __mmask32 mask = there(count);
    const __m512i a = _mm512_maskz_loadu_epi16(mask, first);
    const __m512i b = second == nullptr ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi16(mask, second);
    // number i of a beside number i of b; the latter's indices have bit 5
    const __m512i lows = _mm512_add_epi16(_mm512_set1_epi32(0x00200000), halves());
    low = _mm512_permutex2var_epi16(a, lows, b);
    high = _mm512_permutex2var_epi16(a, _mm512_add_epi16(lows, _mm512_set1_epi16(16)), b);
  }

 private:
  /// 0 0 1 1 2 2 ...
  static __m512i halves() {
    const __m512i index = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_or_si512(index, _mm512_slli_epi32(index, 16));
  }
};

void packedRows(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to) {
  packAlong<true>(from, stride, count, depth, to, 2 * kPackedRows);
}

void packedRowsAcross(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to) {
  for (int64_t j = 0; j < depth; j += 2, from += 2 * stride, to += 2 * kPackedRows) {
    const PairsAcross pairs(from, j + 1 < depth ? from + stride : nullptr, count);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(pairs.low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16), _mm512_extracti32x4_epi32(pairs.low, 2));
  }
}

void packedColumns(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to, int64_t panel) {
  for (int64_t row = 0; row < roundUp(count, kPackedColumns); row += 16) {
    uint16_t* half = to + row / kPackedColumns * panel + row % kPackedColumns * 2;
    packAlong<false>(from + row * stride, stride, count - row, depth, half, 2 * kPackedColumns);
  }
}

void packedColumnsAcross(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to,
                         int64_t panel) {
  constexpr int64_t kAhead = 32;  // rows: each is another place in memory, which only this asks for in time
  for (int64_t j = 0; j < depth; j += 2, from += 2 * stride, to += 2 * kPackedColumns) {
    for (int64_t column = 0; column < count; column += kPackedColumns) {
      const uint16_t* first = from + column;
      _mm_prefetch(reinterpret_cast<const char*>(first + kAhead * stride), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(first + (kAhead + 1) * stride), _MM_HINT_T0);
      const PairsAcross pairs(first, j + 1 < depth ? first + stride : nullptr, count - column);
      uint16_t* into = to + column / kPackedColumns * panel;
      _mm512_storeu_si512(into, pairs.low);
      _mm512_storeu_si512(into + kPackedColumns, pairs.high);
    }
  }
}

/// Sums as bfloat16, 32 columns of which `mask` says which there are.
inline void storePacked(const PackedTask& task, __m512 low, __m512 high, uint16_t* out, __mmask32 mask) {
  if (task.alpha != 1) {
    low = _mm512_mul_ps(low, _mm512_set1_ps(task.alpha));
    high = _mm512_mul_ps(high, _mm512_set1_ps(task.alpha));
  }
  if (task.beta != 0) {
    const __m512i old = _mm512_maskz_loadu_epi16(mask, out);
    const auto wide = [](__m256i half) {
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    };
    const __m512 beta = _mm512_set1_ps(task.beta);
    low = _mm512_fmadd_ps(wide(_mm512_castsi512_si256(old)), beta, low);
    high = _mm512_fmadd_ps(wide(_mm512_extracti64x4_epi64(old, 1)), beta, high);
  }
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  if (mask == ~__mmask32(0)) {
    _mm512_storeu_si512(out, both);
  } else {
    _mm512_mask_storeu_epi16(out, mask, both);
  }
}

/// `Rows` rows of a tile of x against one panel, from [row, column) of the result on.
template <int Rows>
void multiplyPacked(const PackedTask& task, const uint16_t* x, const uint16_t* panel, int64_t row, int64_t column) {
  __m512 sum[Rows][2];
  float* sums = task.sums == nullptr ? nullptr : task.sums + row * task.sumsStride + column;
#pragma GCC unroll 12
  for (int i = 0; i < Rows; ++i) {
    for (int j = 0; j < 2; ++j) {
      sum[i][j] = task.first ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + i * task.sumsStride + j * 16);
    }
  }
  for (int64_t k = 0; k < task.pairs; ++k, x += 2 * kPackedRows, panel += 2 * kPackedColumns) {
    const __m512bh low = (__m512bh)_mm512_loadu_si512(panel);
    const __m512bh high = (__m512bh)_mm512_loadu_si512(panel + kPackedColumns);
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i) {
      int32_t both;
      std::memcpy(&both, x + 2 * i, sizeof both);
      const __m512bh left = (__m512bh)_mm512_set1_epi32(both);
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], left, low);
      sum[i][1] = _mm512_dpbf16_ps(sum[i][1], left, high);
    }
  }
  const __mmask32 mask = there(task.columns - column);
#pragma GCC unroll 12
  for (int i = 0; i < Rows; ++i) {
    if (task.last) {
      storePacked(task, sum[i][0], sum[i][1], task.out + (row + i) * task.outStride + column, mask);
    } else {
      for (int j = 0; j < 2; ++j) _mm512_storeu_ps(sums + i * task.sumsStride + j * 16, sum[i][j]);
    }
  }
}

template <int Rows>
void multiplySome(int64_t rows, const PackedTask& task, const uint16_t* x, const uint16_t* panel, int64_t row,
                  int64_t column) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return multiplySome<Rows - 1>(rows, task, x, panel, row, column);
  }
  multiplyPacked<Rows>(task, x, panel, row, column);
}

/// A part of what is read next, on its way while something else is multiplied.
inline void fetch(const NextRead& next, int64_t first, int64_t end) {
  constexpr int64_t kLine = 32;
  for (int64_t i = first; i < std::min(end, next.count * next.lines); ++i) {
    const uint16_t* line = next.from + i / next.lines * next.stride + i % next.lines * kLine;
    _mm_prefetch(reinterpret_cast<const char*>(line), _MM_HINT_T1);
  }
}

void packedMultiply(const PackedTask& task) {
  const uint16_t* x = task.x;
  const int64_t tiles = (task.rows + kPackedRows - 1) / kPackedRows;
  const int64_t fetched = (task.next.count * task.next.lines + tiles - 1) / tiles;
  for (int64_t row = 0; row < task.rows; row += kPackedRows, x += task.pairs * 2 * kPackedRows) {
    const int64_t rows = std::min(kPackedRows, task.rows - row), tile = row / kPackedRows;
    fetch(task.next, tile * fetched, (tile + 1) * fetched);
    const uint16_t* panel = task.panels;
    for (int64_t column = 0; column < task.columns; column += kPackedColumns) {
      multiplySome<kPackedRows>(rows, task, x, panel, row, column);
      panel += task.pairs * 2 * kPackedColumns;
    }
  }
}

PackedKernel packedTable() {
  return {packedRows, packedRowsAcross, packedColumns, packedColumnsAcross, packedMultiply};
}

}  // namespace
}  // namespace qwen_pt

#else

namespace qwen_pt {
namespace {
PackedKernel packedTable() { return {}; }
}  // namespace
}  // namespace qwen_pt

#endif

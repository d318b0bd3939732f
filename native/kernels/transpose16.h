// A square of 16 x 16 numbers of 32 bits (pairs of 16, quads of 8) transposed in registers. Compiled for AVX-512 alone, with
// internal linkage.
#pragma once

#if defined(CPU_CAPABILITY_AVX512)
#include <c10/macros/Macros.h>
#include <immintrin.h>

namespace qwen_pt {
namespace {

/// 16 rows of 16 numbers of 32 bits as 16 columns of them.
C10_ALWAYS_INLINE void transpose16(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  constexpr int kEven = 0x88, kOdd = 0xdd;  // quarters 0 and 2, or 1 and 3, of each
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], kEven);
    t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], kOdd);
    t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], kEven);
    t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], kOdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], kEven);
    r[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], kEven);
    r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], kOdd);
    r[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], kOdd);
  }
}

}  // namespace
}  // namespace qwen_pt

#endif

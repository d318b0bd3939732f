// Codes of 4 bits as numbers. Of each run of values that share a scale the 16 possible ones are made first, rounded; a value
// is then a look-up. Compiled once for each capability, with internal linkage.
#pragma once

#include "four_bit_kernel.h"
#include "kernels/widen.h"

#include <algorithm>

namespace qwen_pt {
namespace {

/// levels * scale, as T rounds them.
template <typename T>
void fourBitTable(const float* levels, float scale, float* table) {
  using Vec = at::vec::Vectorized<float>;
  constexpr int64_t kOther =
      Vec::size() % kFourBitLevels;  // vectors are rounded in twos: where one is all, with itself
  for (int64_t i = 0; i < kFourBitLevels; i += Vec::size() + kOther) {
    Vec low = Vec::loadu(levels + i) * Vec(scale), high = Vec::loadu(levels + i + kOther) * Vec(scale);
    roundBoth<T>(low, high);
    low.store(table + i);
    high.store(table + i + kOther);
  }
}

inline void fourBitLookUpEach(const uint8_t* codes, const float* table, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const uint8_t pair = codes[i / 2];
    to[i] = table[pair >> 4];
    to[i + 1] = table[pair & 15];
  }
  if (i < count) to[i] = table[codes[i / 2] >> 4];
}

#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)

/// 32 codes of 16 bytes in their order.
C10_ALWAYS_INLINE std::pair<__m128i, __m128i> fourBitUnpack(const uint8_t* codes) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)), low = _mm_set1_epi8(15);
  const __m128i first = _mm_and_si128(_mm_srli_epi16(bytes, 4), low), second = _mm_and_si128(bytes, low);
  return {_mm_unpacklo_epi8(first, second), _mm_unpackhi_epi8(first, second)};
}

#if defined(CPU_CAPABILITY_AVX512)

inline void fourBitLookUp(const uint8_t* codes, const float* table, int64_t count, float* to) {
  const __m512 values = _mm512_loadu_ps(table);
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const auto [a, b] = fourBitUnpack(codes + i / 2);
    _mm512_storeu_ps(to + i, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(a), values));
    _mm512_storeu_ps(to + i + 16, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(b), values));
  }
  fourBitLookUpEach(codes + i / 2, table, count - i, to + i);
}

#else

inline void fourBitLookUp(const uint8_t* codes, const float* table, int64_t count, float* to) {
  const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
  const auto eight = [&](__m128i from) C10_ALWAYS_INLINE_ATTRIBUTE {
    const __m256i index = _mm256_cvtepu8_epi32(from);
    // a permutation looks at three bits; the fourth, moved to the sign, chooses between the halves
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  };
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const auto [a, b] = fourBitUnpack(codes + i / 2);
    _mm256_storeu_ps(to + i, eight(a));
    _mm256_storeu_ps(to + i + 8, eight(_mm_srli_si128(a, 8)));
    _mm256_storeu_ps(to + i + 16, eight(b));
    _mm256_storeu_ps(to + i + 24, eight(_mm_srli_si128(b, 8)));
  }
  fourBitLookUpEach(codes + i / 2, table, count - i, to + i);
}

#endif

#else

inline void fourBitLookUp(const uint8_t* codes, const float* table, int64_t count, float* to) {
  fourBitLookUpEach(codes, table, count, to);
}

#endif

template <typename T>
void fourBitDecodeRow(const uint8_t* codes, const float* levels, const float* scales, int64_t block, int64_t count,
                      float* to) {
  float table[kFourBitLevels];
  for (int64_t i = 0; i < count; i += block, ++scales) {
    fourBitTable<T>(levels, *scales, table);
    fourBitLookUp(codes + i / 2, table, std::min(block, count - i), to + i);
  }
}

/// The same values as T: of 16 bits a look-up gives 32 at once where there are vectors for it.
template <typename T>
void fourBitDecodeNarrow(const uint8_t* codes, const float* levels, const float* scales, int64_t block, int64_t count,
                         T* to) {
  constexpr int64_t kTogether = 256;
  float wide[kTogether];
  for (int64_t i = 0; i < count; i += block, ++scales) {
    const int64_t end = std::min(i + block, count);
    int64_t j = i;
#if defined(CPU_CAPABILITY_AVX512)
    if constexpr (sizeof(T) == 2) {
      // all 16 values twice, so that the fifth bit of an index, the last one of the code before, does not matter
      const at::vec::Vectorized<float> values = at::vec::Vectorized<float>::loadu(levels) * *scales;
      const __m512i table = at::vec::convert_from_float<T>(values, values);
      for (; j + 32 <= end; j += 32) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + j / 2));
        const __m512i pairs = _mm512_cvtepu8_epi32(bytes);
        const __m512i index = _mm512_or_si512(_mm512_srli_epi32(pairs, 4), _mm512_slli_epi32(pairs, 16));
        _mm512_storeu_si512(to + j, _mm512_permutexvar_epi16(index, table));
      }
    }
#endif
    for (; j < end; j += kTogether) {
      const int64_t some = std::min(kTogether, end - j);
      fourBitDecodeRow<T>(codes + j / 2, levels, scales, block, some, wide);
      narrow<T>(wide, to + j, some);
    }
  }
}

}  // namespace
}  // namespace qwen_pt

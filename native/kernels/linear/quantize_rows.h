// Numbers as codes of 4 or of 8 bits. Of 16 levels the nearest is found in four comparisons, each with what a permutation
// fetches for the places so far. Compiled once for each capability, with internal linkage.
#pragma once

#include "kernels/widen.h"
#include "quantize_kernel.h"

#include <algorithm>
#include <cmath>

namespace qwen_pt {
namespace {

/// Of a number in [-1, 1]. What is no number has the lowest place, as every comparison with it fails.
inline uint8_t fourBitCode(const FourBitPlaces& of, float x) {
  int place = x > of.bounds[7] ? 8 : 0;
  if (x > of.bounds[place + 3]) place += 4;
  if (x > of.bounds[place + 1]) place += 2;
  if (x > of.bounds[place]) place += 1;
  return of.codes[place];
}

#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)

/// Places of 16 numbers times a factor, as bytes.
class FourBitSearch {
 public:
#if defined(CPU_CAPABILITY_AVX512)
  explicit FourBitSearch(const FourBitPlaces& of)
      : all_(_mm512_loadu_ps(of.bounds)),
        next_(_mm512_maskz_loadu_ps(0x7fff, of.bounds + 1)),
        middle_(_mm512_set1_ps(of.bounds[7])),
        low_(_mm512_set1_ps(of.bounds[3])),
        high_(_mm512_set1_ps(of.bounds[11])) {}

  C10_ALWAYS_INLINE __m128i operator()(const float* x, float factor) const {
    // what is no number becomes -1
    const __m512 number =
        _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(factor)), _mm512_set1_ps(-1)),
                      _mm512_set1_ps(1));
    const auto beyond = [&](__m512 bound)
                            C10_ALWAYS_INLINE_ATTRIBUTE { return _mm512_cmp_ps_mask(number, bound, _CMP_GT_OQ); };
    const __mmask16 first = beyond(middle_);
    __m512i place = _mm512_maskz_set1_epi32(first, 8);
    place = _mm512_mask_add_epi32(place, beyond(_mm512_mask_blend_ps(first, low_, high_)), place, _mm512_set1_epi32(4));
    place = _mm512_mask_add_epi32(place, beyond(_mm512_permutexvar_ps(place, next_)), place, _mm512_set1_epi32(2));
    place = _mm512_mask_add_epi32(place, beyond(_mm512_permutexvar_ps(place, all_)), place, _mm512_set1_epi32(1));
    return _mm512_cvtepi32_epi8(place);
  }

 private:
  __m512 all_, next_, middle_, low_, high_;
#else
  explicit FourBitSearch(const FourBitPlaces& of)
      : middle_(_mm256_set1_ps(of.bounds[7])),
        low_(_mm256_set1_ps(of.bounds[3])),
        high_(_mm256_set1_ps(of.bounds[11])),
        odd_(_mm256_setr_ps(of.bounds[1], of.bounds[5], of.bounds[9], of.bounds[13], 0, 0, 0, 0)),
        even_(_mm256_setr_ps(of.bounds[0], of.bounds[2], of.bounds[4], of.bounds[6], of.bounds[8], of.bounds[10],
                             of.bounds[12], of.bounds[14])) {}

  C10_ALWAYS_INLINE __m128i operator()(const float* x, float factor) const {
    const __m256i a = eight(x, factor), b = eight(x + 8, factor);
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  }

 private:
  C10_ALWAYS_INLINE __m256i eight(const float* x, float factor) const {
    // what is no number becomes -1
    const __m256 number =
        _mm256_min_ps(_mm256_max_ps(_mm256_mul_ps(_mm256_loadu_ps(x), _mm256_set1_ps(factor)), _mm256_set1_ps(-1)),
                      _mm256_set1_ps(1));
    // all ones, that is -1, where a number is beyond its bound
    const auto beyond = [&](__m256 bound) C10_ALWAYS_INLINE_ATTRIBUTE {
      return _mm256_castps_si256(_mm256_cmp_ps(number, bound, _CMP_GT_OQ));
    };
    const auto deeper = [](__m256i place, __m256i is) C10_ALWAYS_INLINE_ATTRIBUTE {
      return _mm256_sub_epi32(_mm256_add_epi32(place, place), is);
    };
    const __m256i first = beyond(middle_);
    const __m256 second = _mm256_blendv_ps(low_, high_, _mm256_castsi256_ps(first));
    __m256i place = deeper(_mm256_sub_epi32(_mm256_setzero_si256(), first), beyond(second));
    place = deeper(place, beyond(_mm256_permutevar8x32_ps(odd_, place)));
    return deeper(place, beyond(_mm256_permutevar8x32_ps(even_, place)));
  }

  __m256 middle_, low_, high_, odd_, even_;
#endif
};

/// 32 numbers, two codes in a byte.
C10_ALWAYS_INLINE void fourBitPack(__m128i first, __m128i second, __m128i codes, uint8_t* to) {
  const __m128i high = _mm_set1_epi16(0x0110);  // 16 for the first of two, 1 for the second
  const __m128i a = _mm_maddubs_epi16(_mm_shuffle_epi8(codes, first), high);
  const __m128i b = _mm_maddubs_epi16(_mm_shuffle_epi8(codes, second), high);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(a, b));
}

#endif

/// As std::max over the magnitudes, which passes by what is no number.
inline float fourBitLargest(const float* x, int64_t count) {
  float most[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int64_t j = 0; j < 16; ++j) {
      const float size = std::fabs(x[i + j]);
      most[j] = size > most[j] ? size : most[j];
    }
  }
  for (; i < count; ++i) most[0] = std::max(most[0], std::fabs(x[i]));
  return *std::max_element(most, most + 16);
}

void fourBitQuantize(const FourBitPlaces& of, const float* x, int64_t runs, int64_t run, uint8_t* codes,
                     float* scales) {
#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)
  const FourBitSearch search(of);
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(of.codes));
#endif
  for (int64_t index = 0; index < runs; ++index, x += run) {
    scales[index] = fourBitLargest(x, run);
    const float factor = 1.0f / std::max(scales[index], kLeastScale);
    int64_t i = 0;
#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)
    for (; i + 32 <= run; i += 32, codes += 16) {
      fourBitPack(search(x + i, factor), search(x + i + 16, factor), table, codes);
    }
#endif
    for (; i < run; i += 2) {
      const uint8_t first = fourBitCode(of, std::clamp(x[i] * factor, -1.0f, 1.0f));
      *codes++ = static_cast<uint8_t>(first << 4 | fourBitCode(of, std::clamp(x[i + 1] * factor, -1.0f, 1.0f)));
    }
  }
}

float eightBitQuantize(float* x, int64_t count, int8_t* codes) {
  using Vec = at::vec::Vectorized<float>;
  constexpr int64_t kTogether = 256;
  c10::Half memory[kTogether];
  Vec largest(0.f);
  for (int64_t start = 0; start < count; start += kTogether) {
    const int64_t some = std::min(kTogether, count - start);
    roundTo<c10::Half>(x + start, memory, some);
    // Vec's maximum keeps what is not a number
    forVectors<Vec>(some, [&](int64_t i, int64_t n) {
      largest = at::vec::maximum(largest, loadSome<Vec>(x + start + i, n).abs());
    });
  }
  const float most = at::vec::vec_reduce_all<float>(
      [](const Vec& a, const Vec& b) C10_ALWAYS_INLINE_ATTRIBUTE { return at::vec::maximum(a, b); }, largest);
  // as Python divides a number by a tensor: in two roundings
  const float factor = (1.0f / most) * 127.0f;
  for (int64_t start = 0; start < count; start += kTogether) {
    const int64_t some = std::min(kTogether, count - start);
    float rounded[kTogether];
    forVectors<Vec>(some, [&](int64_t i, int64_t n) {
      const Vec number = (loadSome<Vec>(x + start + i, n) * Vec(factor)).round();
      Vec::blendv(Vec(0.f), number, number == number).store(rounded + i);
    });
    for (int64_t i = 0; i < some; ++i) codes[start + i] = static_cast<int8_t>(static_cast<int32_t>(rounded[i]));
  }
  return most;
}

}  // namespace
}  // namespace qwen_pt

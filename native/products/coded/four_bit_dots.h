// Few rows of x against codes of 4 bits: the codes become values in registers, by a table of the 16 that a run can have, and
// meet x there. x lies in groups of 64, even numbers before odd ones, because a byte of codes has one of each. Compiled
// once for each capability, with internal linkage.
#pragma once

#include "four_bit_rows.h"

#include <type_traits>

namespace qwen_pt {
namespace {

/// Whether values of T meet x in bfloat16, two products at a time.
template <typename T>
#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
constexpr bool kFourBitPaired = std::is_same_v<T, c10::BFloat16>;
#else
constexpr bool kFourBitPaired = false;
#endif

/// What x is arranged as for values of T.
template <typename T>
using FourBitFactor = std::conditional_t<kFourBitPaired<T>, c10::BFloat16, float>;

template <typename T>
void fourBitArrange(const float* x, int64_t width, void* to) {
  auto* out = static_cast<FourBitFactor<T>*>(to);
  for (int64_t i = 0; i < width; i += kFourBitGroup, out += kFourBitGroup) {
    for (int64_t j = 0; j < kFourBitGroup / 2; ++j) {
      out[j] = x[i + 2 * j];
      out[kFourBitGroup / 2 + j] = x[i + 2 * j + 1];
    }
  }
}

/// The sums of M rows of x with a row of codes, a vector for each.
template <typename T, int M>
struct FourBitSums;

#if defined(CPU_CAPABILITY_AVX512)

template <typename T>
C10_ALWAYS_INLINE __m512 fourBitRounded(__m512 x) {
  at::vec::Vectorized<float> low(x), high(x);
  roundBoth<T>(low, high);
  return low;
}

template <typename T, int M>
struct FourBitSums {
  __m512 even[M], odd[M];

  C10_ALWAYS_INLINE void clear() {
    for (int m = 0; m < M; ++m) even[m] = odd[m] = _mm512_setzero_ps();
  }
  C10_ALWAYS_INLINE float sum(int m) const { return _mm512_reduce_add_ps(_mm512_add_ps(even[m], odd[m])); }

  /// A run's groups of 64.
  C10_ALWAYS_INLINE void add(const uint8_t* codes, const float* levels, float scale, int64_t groups,
                             const FourBitFactor<T>* x, int64_t width) {
    __m512 values = _mm512_mul_ps(_mm512_loadu_ps(levels), _mm512_set1_ps(scale));
#if defined(__AVX512BF16__)
    if constexpr (kFourBitPaired<T>) {
      // twice, so that the bit above a code's four changes nothing
      const __m512i table = _mm512_broadcast_i64x4((__m256i)_mm512_cvtneps_pbh(values));
      for (int64_t group = 0; group < groups; ++group, codes += kFourBitGroup / 2, x += kFourBitGroup) {
        const __m512i pairs = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
        const auto first = (__m512bh)_mm512_permutexvar_epi16(_mm512_srli_epi16(pairs, 4), table);
        const auto second = (__m512bh)_mm512_permutexvar_epi16(pairs, table);
        for (int m = 0; m < M; ++m) {
          const auto* row = x + m * width;
          even[m] = _mm512_dpbf16_ps(even[m], first, (__m512bh)_mm512_loadu_si512(row));
          odd[m] = _mm512_dpbf16_ps(odd[m], second, (__m512bh)_mm512_loadu_si512(row + kFourBitGroup / 2));
        }
      }
      return;
    } else
#endif
    {
      values = fourBitRounded<T>(values);
      for (int64_t half = 0; half < 2 * groups; ++half, codes += kFourBitGroup / 4) {
        const __m512i pairs = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
        const __m512 first = _mm512_permutexvar_ps(_mm512_srli_epi32(pairs, 4), values);
        const __m512 second = _mm512_permutexvar_ps(pairs, values);
        const float* at = x + half / 2 * kFourBitGroup + half % 2 * (kFourBitGroup / 4);
        for (int m = 0; m < M; ++m) {
          even[m] = _mm512_fmadd_ps(first, _mm512_loadu_ps(at + m * width), even[m]);
          odd[m] = _mm512_fmadd_ps(second, _mm512_loadu_ps(at + m * width + kFourBitGroup / 2), odd[m]);
        }
      }
    }
  }
};

#elif defined(CPU_CAPABILITY_AVX2)

template <typename T, int M>
struct FourBitSums {
  // of eight rows two sums each would take all registers
  static constexpr int kSums = M > 4 ? 1 : 2;
  __m256 sums[M][kSums];

  C10_ALWAYS_INLINE void clear() {
    for (int m = 0; m < M; ++m) sums[m][0] = sums[m][kSums - 1] = _mm256_setzero_ps();
  }
  C10_ALWAYS_INLINE float sum(int m) const {
    return sumOf(at::vec::Vectorized<float>(kSums == 1 ? sums[m][0] : _mm256_add_ps(sums[m][0], sums[m][kSums - 1])));
  }

  C10_ALWAYS_INLINE void add(const uint8_t* codes, const float* levels, float scale, int64_t groups, const float* x,
                             int64_t width) {
    const __m256 by = _mm256_set1_ps(scale);
    at::vec::Vectorized<float> low(_mm256_mul_ps(_mm256_loadu_ps(levels), by));
    at::vec::Vectorized<float> high(_mm256_mul_ps(_mm256_loadu_ps(levels + 8), by));
    roundBoth<T>(low, high);
    // a permutation looks at three bits; the fourth, moved to the sign, chooses between the halves
    const auto value = [&](__m256i index, __m256i sign) C10_ALWAYS_INLINE_ATTRIBUTE {
      return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index),
                              _mm256_castsi256_ps(sign));
    };
    for (int64_t quarter = 0; quarter < 4 * groups; ++quarter, codes += kFourBitGroup / 8) {
      const __m256i pairs = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
      const __m256 first = value(_mm256_srli_epi32(pairs, 4), _mm256_slli_epi32(pairs, 24));
      const __m256 second = value(pairs, _mm256_slli_epi32(pairs, 28));
      const float* at = x + quarter / 4 * kFourBitGroup + quarter % 4 * (kFourBitGroup / 8);
      for (int m = 0; m < M; ++m) {
        __m256 &even = sums[m][0], &odd = sums[m][kSums - 1];
        even = _mm256_fmadd_ps(first, _mm256_loadu_ps(at + m * width), even);
        odd = _mm256_fmadd_ps(second, _mm256_loadu_ps(at + m * width + kFourBitGroup / 2), odd);
      }
    }
  }
};

#else

template <typename T, int M>
struct FourBitSums {
  float sums[M];

  void clear() { std::fill_n(sums, M, 0.f); }
  float sum(int m) const { return sums[m]; }

  void add(const uint8_t* codes, const float* levels, float scale, int64_t groups, const float* x, int64_t width) {
    float table[kFourBitLevels];
    fourBitTable<T>(levels, scale, table);
    for (int64_t group = 0; group < groups; ++group, x += kFourBitGroup) {
      for (int64_t i = 0; i < kFourBitGroup / 2; ++i) {
        const uint8_t pair = *codes++;
        for (int m = 0; m < M; ++m) {
          const float* row = x + m * width;
          sums[m] += table[pair >> 4] * row[i] + table[pair & 15] * row[kFourBitGroup / 2 + i];
        }
      }
    }
  }
};

#endif

template <typename T, int M>
void fourBitDotSome(const FourBitDots& of, const FourBitFactor<T>* x, float* out) {
  FourBitSums<T, M> sums;
  sums.clear();
  const uint8_t* codes = of.codes;
  for (int64_t run = 0; run < of.runs; ++run) {
    sums.add(codes, of.levels, of.scales[run], of.block / kFourBitGroup, x + run * of.block, of.runs * of.block);
    codes += of.block / 2;
  }
  for (int m = 0; m < M; ++m) out[m * of.outStride] = sums.sum(m);
}

template <typename T>
void fourBitDotRow(const FourBitDots& of) {
  const auto* x = static_cast<const FourBitFactor<T>*>(of.x);
  const int64_t width = of.runs * of.block;
  int64_t done = 0;
  for (; done + 8 <= of.m; done += 8) fourBitDotSome<T, 8>(of, x + done * width, of.out + done * of.outStride);
  for (; done + 4 <= of.m; done += 4) fourBitDotSome<T, 4>(of, x + done * width, of.out + done * of.outStride);
  for (; done < of.m; ++done) fourBitDotSome<T, 1>(of, x + done * width, of.out + done * of.outStride);
}

}  // namespace
}  // namespace qwen_pt

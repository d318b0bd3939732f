// Codes of 8 bits as numbers. Compiled once for each capability, with internal linkage.
#pragma once

#include "eight_bit_kernel.h"
#include "kernels/widen.h"

#include <algorithm>

namespace qwen_pt {
namespace {

inline void eightBitScale(const int8_t* codes, float scale, int64_t count, float* to) {
  int64_t i = 0;
#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)
  const __m256 by = _mm256_set1_ps(scale);
  for (; i + 8 <= count; i += 8) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i));
    _mm256_storeu_ps(to + i, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), by));
  }
#endif
  for (; i < count; ++i) to[i] = static_cast<float>(codes[i]) * scale;
}

constexpr int64_t kEightBitTogether = 256;

template <typename T>
void eightBitDecodeRow(const int8_t* codes, float scale, int64_t count, float* to) {
  T memory[kEightBitTogether];
  for (int64_t i = 0; i < count; i += kEightBitTogether) {
    const int64_t some = std::min(kEightBitTogether, count - i);
    eightBitScale(codes + i, scale, some, to + i);
    roundTo<T>(to + i, memory, some);
  }
}

template <typename T>
void eightBitDecodeNarrow(const int8_t* codes, float scale, int64_t count, T* to) {
  float wide[kEightBitTogether];
  for (int64_t i = 0; i < count; i += kEightBitTogether) {
    const int64_t some = std::min(kEightBitTogether, count - i);
    eightBitScale(codes + i, scale, some, wide);
    narrow<T>(wide, to + i, some);
  }
}

}  // namespace
}  // namespace qwen_pt

// AdamW's step (Loshchilov and Hutter 2017, arXiv:1711.05101) in bitsandbytes' order of roundings, a run of numbers at a
// time: moments in 8 bits (Dettmers et al. 2022, arXiv:2110.02861) are made float, moved and made codes again while they
// are in the cache. Compiled once for each capability, with internal linkage.
#pragma once

#include "kernels/linear/matrix_tile.h"
#include "kernels/widen.h"
#include "rows_kernel.h"

#include <algorithm>
#include <cmath>

namespace qwen_pt {
namespace {

/// a * b + c, rounded once on every processor.
C10_ALWAYS_INLINE at::vec::Vectorized<float> adamwFused(at::vec::Vectorized<float> a, float b,
                                                        at::vec::Vectorized<float> c) {
  using Vec = at::vec::Vectorized<float>;
#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)
  return at::vec::fmadd(a, Vec(b), c);
#else
  float left[Vec::size()], right[Vec::size()];
  a.store(left);
  c.store(right);
  for (int i = 0; i < Vec::size(); ++i) {
    left[i] = static_cast<float>(static_cast<double>(left[i]) * b + static_cast<double>(right[i]));
  }
  return Vec::loadu(left);
#endif
}

constexpr float kAdamwLastStep = 65535;

#if defined(CPU_CAPABILITY_AVX512)

/// A whole run of codes: 256 levels are 16 vectors, of which eight permutations fetch candidates.
inline void adamwDecode(const uint8_t* codes, const float* levels, float scale, float* to) {
  __m512 table[16];
  for (int64_t i = 0; i < 16; ++i) table[i] = _mm512_loadu_ps(levels + 16 * i);
  const __m512 by = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < kAdamwRun; i += 16) {
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i)));
    const auto bit = [&](int which)
                         C10_ALWAYS_INLINE_ATTRIBUTE { return _mm512_test_epi32_mask(code, _mm512_set1_epi32(which)); };
    __m512 candidate[8];
    unrolled<8>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
      candidate[j] = _mm512_permutex2var_ps(table[2 * j], code, table[2 * j + 1]);
    });
    const __mmask16 sixth = bit(32), seventh = bit(64), eighth = bit(128);
    unrolled<4>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
      candidate[j] = _mm512_mask_blend_ps(sixth, candidate[2 * j], candidate[2 * j + 1]);
    });
    unrolled<2>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
      candidate[j] = _mm512_mask_blend_ps(seventh, candidate[2 * j], candidate[2 * j + 1]);
    });
    _mm512_storeu_ps(to + i, _mm512_mul_ps(_mm512_mask_blend_ps(eighth, candidate[0], candidate[1]), by));
  }
}

/// The codes of a whole run's steps, down the tree of the steps at which they change: eight comparisons.
inline void adamwEncode(const float* steps, const uint16_t* changes, uint8_t* codes) {
  __m512i tree[8];
  for (int64_t i = 0; i < 8; ++i) tree[i] = _mm512_loadu_si512(changes + 32 * i);
  constexpr int kChains = 4;  // one would wait for each comparison
  for (int64_t i = 0; i < kAdamwRun; i += 32 * kChains) {
    __m512i step[kChains], node[kChains];
    unrolled<kChains>([&](auto c) C10_ALWAYS_INLINE_ATTRIBUTE {
      // what is not finite has no step: 0
      const auto half = [&](int64_t at) C10_ALWAYS_INLINE_ATTRIBUTE {
        return _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(_mm512_loadu_ps(steps + i + 32 * c + at)));
      };
      step[c] = _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(16), 1);
      node[c] = _mm512_set1_epi16(1);
    });
    unrolled<8>([&](auto depth) C10_ALWAYS_INLINE_ATTRIBUTE {
      unrolled<kChains>([&](auto c) C10_ALWAYS_INLINE_ATTRIBUTE {
        __m512i change;
        if constexpr (depth < 5) {
          change = _mm512_permutexvar_epi16(node[c], tree[0]);
        } else if constexpr (depth == 5) {
          change = _mm512_permutexvar_epi16(node[c], tree[1]);
        } else if constexpr (depth == 6) {
          change = _mm512_permutex2var_epi16(tree[2], node[c], tree[3]);
        } else {
          change = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(node[c], _mm512_set1_epi16(64)),
                                           _mm512_permutex2var_epi16(tree[4], node[c], tree[5]),
                                           _mm512_permutex2var_epi16(tree[6], node[c], tree[7]));
        }
        const __mmask32 above = _mm512_cmpge_epu16_mask(step[c], change);
        node[c] = _mm512_add_epi16(node[c], node[c]);
        node[c] = _mm512_mask_add_epi16(node[c], above, node[c], _mm512_set1_epi16(1));
      });
    });
    unrolled<kChains>([&](auto c) C10_ALWAYS_INLINE_ATTRIBUTE {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i + 32 * c), _mm512_cvtepi16_epi8(node[c]));
    });
  }
}

#endif

/// A run of a moment as float.
inline void adamwRead(const AdamwMoment& moment, int64_t first, int64_t count, float* to) {
  if (moment.codes == nullptr) {
    std::copy_n(moment.numbers + first, count, to);
    return;
  }
  const float scale = moment.scales[first / kAdamwRun];
#if defined(CPU_CAPABILITY_AVX512)
  if (count == kAdamwRun) return adamwDecode(moment.codes + first, moment.levels, scale, to);
#endif
  for (int64_t i = 0; i < count; ++i) to[i] = moment.levels[moment.codes[first + i]];
  for (int64_t i = 0; i < count; ++i) to[i] *= scale;
}

/// The same back: the arithmetic of quantize.cc's quantize_blockwise.
inline void adamwWrite(const AdamwMoment& moment, int64_t first, int64_t count, const float* from) {
  if (moment.codes == nullptr) {
    std::copy_n(from, count, moment.numbers + first);
    return;
  }
  using Vec = at::vec::Vectorized<float>;
  Vec largest(0.f);
  for (int64_t i = 0; i < kAdamwRun; i += Vec::size()) largest = at::vec::maximum(largest, Vec::loadu(from + i).abs());
  const float most = at::vec::vec_reduce_all<float>(
      [](const Vec& a, const Vec& b) C10_ALWAYS_INLINE_ATTRIBUTE { return at::vec::maximum(a, b); }, largest);
  moment.scales[first / kAdamwRun] = most;
  uint8_t* codes = moment.codes + first;
  if (!(most > 0)) {
    std::fill_n(codes, count, uint8_t(0));
    return;
  }
  const Vec factor(1.0f / most), half(0.5f), one(1.f);
  alignas(64) float steps[kAdamwRun];
  for (int64_t i = 0; i < kAdamwRun; i += Vec::size()) {
    const Vec value = at::vec::clamp(Vec::loadu(from + i) * factor, Vec(-1.f), one);
    adamwFused((value + one) * half, kAdamwLastStep, half).store(steps + i);
  }
#if defined(CPU_CAPABILITY_AVX512)
  if (count == kAdamwRun) return adamwEncode(steps, moment.changes, codes);
#endif
  // apart, so that the conversion is made in vectors; what is not finite has no step
  int32_t places[kAdamwRun];
  for (int64_t i = 0; i < kAdamwRun; ++i) places[i] = static_cast<int32_t>(steps[i]);
  for (int64_t i = 0; i < count; ++i) codes[i] = moment.nearest[static_cast<uint16_t>(places[i])];
}

template <typename T>
void adamwRun(const AdamwProblem& of, int64_t first, int64_t count) {
  using Vec = at::vec::Vectorized<float>;
  alignas(64) float weight[kAdamwRun] = {}, gradient[kAdamwRun] = {}, mean[kAdamwRun] = {}, square[kAdamwRun] = {};
  T* parameter = static_cast<T*>(of.parameter) + first;
  widen<T>(parameter, weight, count);
  widen<T>(static_cast<const T*>(of.gradient) + first, gradient, count);
  adamwRead(of.mean, first, count, mean);
  adamwRead(of.square, first, count, square);
  const auto beta1 = static_cast<float>(of.beta1), beta2 = static_cast<float>(of.beta2);
  const auto rest1 = static_cast<float>(1 - of.beta1), rest2 = static_cast<float>(1 - of.beta2);
  const Vec kept(static_cast<float>(of.kept)), root(static_cast<float>(of.correction2));
  // bitsandbytes corrects the squares' root where states have 8 bits, and epsilon where they have 32
  const bool isNarrow = of.mean.codes != nullptr;
  const Vec eps(static_cast<float>(isNarrow ? of.eps : of.eps * of.correction2));
  const auto whole = static_cast<float>(of.rate * of.correction2 / of.correction1);
  const Vec share(static_cast<float>(of.rate / of.correction1));
  for (int64_t i = 0; i < kAdamwRun; i += Vec::size()) {
    const Vec g = Vec::loadu(gradient + i);
    const Vec m = adamwFused(g, rest1, Vec::loadu(mean + i) * Vec(beta1));
    const Vec v = Vec::loadu(square + i) * Vec(beta2) + Vec(rest2) * g * g;
    m.store(mean + i);
    v.store(square + i);
    Vec w = Vec::loadu(weight + i);
    if (of.kept != 1) w = w * kept;
    w = isNarrow ? w + share * m / (v.sqrt() / root + eps) : adamwFused(m / (v.sqrt() + eps), whole, w);
    w.store(weight + i);
  }
  qwen_pt::narrow<T>(weight, parameter, count);
  adamwWrite(of.mean, first, count, mean);
  adamwWrite(of.square, first, count, square);
}

template <typename T>
void adamwRuns(const AdamwProblem& of, int64_t firstRun, int64_t endRun) {
  for (int64_t run = firstRun; run < endRun; ++run) {
    const int64_t first = run * kAdamwRun;
    adamwRun<T>(of, first, std::min(kAdamwRun, of.count - first));
  }
}

}  // namespace
}  // namespace qwen_pt

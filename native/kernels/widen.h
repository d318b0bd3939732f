// Runs of numbers between their type in memory and the type that sums are made in, and loops over the latter.
// Compiled once for each capability, with internal linkage.
#pragma once

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace qwen_pt {
namespace {

template <typename In>
using SumOf = std::conditional_t<std::is_same_v<In, double>, double, float>;

template <typename In>
void widen(const In* from, SumOf<In>* to, int64_t count) {
  if constexpr (sizeof(In) == 2) {
    using Narrow = at::vec::Vectorized<In>;
    constexpr int64_t kHalf = Narrow::size() / 2;
    int64_t i = 0;
    for (; i + Narrow::size() <= count; i += Narrow::size()) {
      const auto [low, high] = at::vec::convert_to_float<In>(Narrow::loadu(from + i));
      low.store(to + i);
      high.store(to + i + kHalf);
    }
    for (; i < count; ++i) to[i] = static_cast<float>(from[i]);
  } else {
    std::memcpy(to, from, count * sizeof(In));
  }
}

template <typename In>
void narrow(const SumOf<In>* from, In* to, int64_t count) {
  if constexpr (sizeof(In) == 2) {
    using Narrow = at::vec::Vectorized<In>;
    using Vec = at::vec::Vectorized<float>;
    constexpr int64_t kHalf = Narrow::size() / 2;
    int64_t i = 0;
    for (; i + Narrow::size() <= count; i += Narrow::size()) {
      at::vec::convert_from_float<In>(Vec::loadu(from + i), Vec::loadu(from + i + kHalf)).store(to + i);
    }
    for (; i < count; ++i) to[i] = static_cast<In>(from[i]);
  } else {
    std::memcpy(to, from, count * sizeof(In));
  }
}

/// Rounds to In and back: what storing the numbers and reading them again would do.
template <typename In>
void roundTo(SumOf<In>* numbers, In* memory, int64_t count) {
  if constexpr (sizeof(In) == 2) {
    narrow<In>(numbers, memory, count);
    widen<In>(memory, numbers, count);
  }
}

/// The same for two vectors.
template <typename In, typename Vec>
C10_ALWAYS_INLINE void roundBoth(Vec& a, Vec& b) {
  if constexpr (sizeof(In) == 2) {
    const auto [x, y] = at::vec::convert_to_float<In>(at::vec::convert_from_float<In>(a, b));
    a = x;
    b = y;
  }
}

template <typename Vec>
C10_ALWAYS_INLINE auto sumOf(const Vec& x) {
  return at::vec::vec_reduce_all<typename Vec::value_type>(
      [](const Vec& a, const Vec& b) C10_ALWAYS_INLINE_ATTRIBUTE { return a + b; }, x);
}

/// body(i, n) for whole vectors, then once for what remains; load and store take n.
template <typename Vec, typename Body>
C10_ALWAYS_INLINE void forVectors(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + Vec::size() <= count; i += Vec::size()) body(i, static_cast<int64_t>(Vec::size()));
  if (i < count) body(i, count - i);
}

/// Vec::loadu of n lanes, zero beyond.
template <typename Vec, typename T>
C10_ALWAYS_INLINE Vec loadSome(const T* from, int64_t n) {
  return n == Vec::size() ? Vec::loadu(from) : Vec::loadu(from, n);
}

template <typename Vec, typename T>
C10_ALWAYS_INLINE void storeSome(const Vec& x, T* to, int64_t n) {
  if (n == Vec::size()) {
    x.store(to);
  } else {
    x.store(to, static_cast<int>(n));
  }
}

/// exp in the precision that In deserves: bfloat16 and float16 keep no more than the quick one gives.
template <typename In, typename Vec>
C10_ALWAYS_INLINE Vec expOf(const Vec& x) {
  if constexpr (sizeof(In) == 2) return x.exp_u20();
  return x.exp();
}

}  // namespace
}  // namespace qwen_pt

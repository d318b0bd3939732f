// The inner loop of a matrix product and the layouts that feed it, for kernels that multiply small blocks: a tile of
// the result stays in registers while a strip of rows meets a panel of columns. Compiled once for each capability
// (vector_kernels.*.cc); everything has internal linkage, so that no function compiled for one processor is ever
// linked into the code for another.
//
//   a  [rows][steps * pair]              rows of the left operand, as they are
//   b  [steps][columns][pair]            one panel of the right operand
//   c  [rows][columns]                   float (double for double)
//
// `pair` is 2 where the processor multiplies two bfloat16 at a time (AVX512_BF16), else 1: there, 16-bit numbers are
// widened to float as they are packed.
#pragma once

#include "kernels/round_up.h"
#include "kernels/widen.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
constexpr bool kPairedProducts = true;
#else
constexpr bool kPairedProducts = false;
#endif

/// What numbers of type In are multiplied as, and added up in.
template <typename In>
struct Arithmetic {
  static constexpr bool kPaired = kPairedProducts && std::is_same_v<In, c10::BFloat16>;
  static constexpr int64_t kPair = kPaired ? 2 : 1;
  using Sum = SumOf<In>;
  using Factor = std::conditional_t<kPaired, c10::BFloat16, Sum>;
};

template <int N, typename Body>
C10_ALWAYS_INLINE void unrolled(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) C10_ALWAYS_INLINE_ATTRIBUTE {
    (body(std::integral_constant<int, I>{}), ...);
  }(std::make_integer_sequence<int, N>{});
}

template <typename In>
struct Tile {
  using Factor = typename Arithmetic<In>::Factor;
  using Sum = typename Arithmetic<In>::Sum;
  using Vec = at::vec::Vectorized<Sum>;
  static constexpr int64_t kPair = Arithmetic<In>::kPair;
  // As many sums as the registers hold beside a row of b and a broadcast element of a.
#if defined(CPU_CAPABILITY_AVX512)
  static constexpr int kRows = 12, kVectors = 2;
#elif defined(CPU_CAPABILITY_AVX2)
  static constexpr int kRows = 6, kVectors = 2;
#elif defined(__aarch64__)
  static constexpr int kRows = 6, kVectors = 4;
#else
  static constexpr int kRows = 4, kVectors = 1;
#endif
  static constexpr int64_t kLanes = Vec::size();
  static constexpr int64_t kColumns = kLanes * kVectors;

  /// c = a b, or c += a b.
  static void multiply(const Factor* a, int64_t lda, const Factor* b, int64_t steps, Sum* c, int64_t ldc,
                       bool accumulate) {
    Vec sum[kRows][kVectors];
    if (accumulate) {
      unrolled<kRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
        unrolled<kVectors>([&](auto j)
                               C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j] = Vec::loadu(c + i * ldc + j * kLanes); });
      });
    } else {
      unrolled<kRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
        unrolled<kVectors>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j] = Vec(Sum(0)); });
      });
    }
    for (int64_t step = 0; step < steps; ++step, a += kPair, b += kColumns * kPair) {
#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
      if constexpr (kPair == 2) {
        __m512bh right[kVectors];
        unrolled<kVectors>(
            [&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { right[j] = (__m512bh)_mm512_loadu_si512(b + j * kLanes * 2); });
        unrolled<kRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
          int32_t both;
          std::memcpy(&both, a + i * lda, sizeof both);
          const __m512bh left = (__m512bh)_mm512_set1_epi32(both);
          unrolled<kVectors>(
              [&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j] = _mm512_dpbf16_ps(sum[i][j], left, right[j]); });
        });
        continue;
      }
#endif
      if constexpr (kPair == 1) {
        Vec right[kVectors];
        unrolled<kVectors>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { right[j] = Vec::loadu(b + j * kLanes); });
        unrolled<kRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
          const Vec left(a[i * lda]);
          unrolled<kVectors>(
              [&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j] = at::vec::fmadd(left, right[j], sum[i][j]); });
        });
      }
    }
    unrolled<kRows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      unrolled<kVectors>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j].store(c + i * ldc + j * kLanes); });
    });
  }
};

/// A matrix [rows, width] somewhere in a tensor; elements of a row are neighbours.
template <typename In>
struct Rows {
  const In* data;
  int64_t stride;
  int64_t rows;
  int64_t width;
  const In* row(int64_t i) const { return data + i * stride; }
};

/// Left operand: [padded][ld], zeros beyond rows and width.
template <typename In, typename Factor>
void packLeft(const Rows<In>& from, int64_t padded, int64_t ld, Factor* to) {
  for (int64_t i = 0; i < padded; ++i, to += ld) {
    const int64_t width = i < from.rows ? from.width : 0;
    if constexpr (std::is_same_v<In, Factor>) {
      if (width > 0) std::memcpy(to, from.row(i), width * sizeof(In));
    } else if (width > 0) {
      widen(from.row(i), to, width);
    }
    std::fill(to + width, to + ld, Factor(0));
  }
}

/// Left operand from the transpose: [padded][ld] with padded >= width and ld >= rows.
template <typename In, typename Factor>
void packLeftTransposed(const Rows<In>& from, int64_t padded, int64_t ld, Factor* to) {
  std::fill(to, to + padded * ld, Factor(0));
  // 16 rows at a time: every line of the source is read while it is near
  for (int64_t start = 0; start < from.rows; start += 16) {
    const int64_t count = std::min<int64_t>(16, from.rows - start);
    for (int64_t j = 0; j < from.width; ++j) {
      Factor* into = to + j * ld + start;
      const In* source = from.row(start) + j;
      for (int64_t i = 0; i < count; ++i) into[i] = static_cast<Factor>(source[i * from.stride]);
    }
  }
}

/// Right operand [depth x width]: the source's rows are the depth. Panels [width / columns][depth / pair][columns][pair].
template <typename In>
void packRight(const Rows<In>& from, int64_t depth, typename Arithmetic<In>::Factor* to) {
  using T = Tile<In>;
  constexpr int64_t kPair = T::kPair;
  for (int64_t column = 0; column < from.width; column += T::kColumns, to += depth * T::kColumns) {
    const int64_t width = std::min(T::kColumns, from.width - column);
    if (width < T::kColumns) std::fill(to, to + depth * T::kColumns, typename T::Factor(0));
    for (int64_t i = 0; i < depth; i += kPair) {
      auto* into = to + i * T::kColumns;
      if (i >= from.rows) {
        std::fill(into, into + kPair * T::kColumns, typename T::Factor(0));
        continue;
      }
      const In* upper = from.row(i) + column;
      if constexpr (kPair == 1) {
        if constexpr (std::is_same_v<In, typename T::Factor>) {
          std::memcpy(into, upper, width * sizeof(In));
        } else {
          widen(upper, into, width);
        }
      } else {
        const In* lower = i + 1 < from.rows ? from.row(i + 1) + column : nullptr;
        int64_t j = 0;
#if defined(CPU_CAPABILITY_AVX512)
        for (; lower != nullptr && j + 16 <= width; j += 16) {
          const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(upper + j)));
          const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(lower + j)));
          _mm512_storeu_si512(into + 2 * j, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
#endif
        for (; j < width; ++j) {
          into[2 * j] = upper[j];
          into[2 * j + 1] = lower != nullptr ? lower[j] : In(0);
        }
      }
    }
  }
}

/// Right operand from the transpose, [width x rows]: depth is the source's width.
/// Panels [rows / columns][depth / pair][columns][pair].
template <typename In>
void packRightTransposed(const Rows<In>& from, int64_t depth, typename Arithmetic<In>::Factor* to) {
  using T = Tile<In>;
  constexpr int64_t kPair = T::kPair;
  for (int64_t start = 0; start < from.rows; start += T::kColumns, to += depth * T::kColumns) {
    const int64_t count = std::min(T::kColumns, from.rows - start);
    const bool whole = count == T::kColumns && from.width == depth;
    if (!whole) std::fill(to, to + depth * T::kColumns, typename T::Factor(0));
#if defined(CPU_CAPABILITY_AVX512)
    // A pair of bfloat16 travels like a float.
    if (sizeof(In) * kPair == sizeof(float) && from.stride % kPair == 0) {
      const int64_t steps = from.width / kPair;
      const auto* source = reinterpret_cast<const float*>(from.row(start));
      at::vec::transpose_mxn<float>(source, from.stride / kPair, reinterpret_cast<float*>(to), T::kColumns,
                                    static_cast<int>(count), static_cast<int>(steps));
      for (int64_t j = steps * kPair; j < from.width; ++j) {
        for (int64_t i = 0; i < count; ++i) to[steps * kPair * T::kColumns + i * kPair] = from.row(start + i)[j];
      }
      continue;
    }
#endif
    for (int64_t i = 0; i < count; ++i) {
      const In* source = from.row(start + i);
      for (int64_t j = 0; j < from.width; ++j) {
        to[(j / kPair) * T::kColumns * kPair + i * kPair + j % kPair] = static_cast<typename T::Factor>(source[j]);
      }
    }
  }
}

/// Carves arrays out of one block of memory; without a block it only counts.
class Scratch {
 public:
  explicit Scratch(char* memory) : start_(memory), used_(0) {}

  template <typename T>
  T* take(int64_t count) {
    char* at = start_ + used_;
    used_ += roundUp(count * static_cast<int64_t>(sizeof(T)), 64);
    return reinterpret_cast<T*>(at);
  }

  int64_t used() const { return used_; }

 private:
  char* start_;
  int64_t used_;
};

}  // namespace
}  // namespace qwen_pt

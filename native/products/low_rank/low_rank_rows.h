// Products of a tall matrix of 16-bit numbers with one of low rank: they cost what reading the tall one costs, so each reads
// it once and widens it a few rows at a time. Compiled once for each capability, with internal linkage.
#pragma once

#include "kernels/linear/matrix_tile.h"
#include "low_rank_kernel.h"

#include <algorithm>

namespace qwen_pt {
namespace {

using LowRankVec = at::vec::Vectorized<float>;

/// Columns [first, first + count) of a row as the product sees them, zeros up to `padded`.
template <typename In>
void lowRankRow(const LowRankInput& of, int64_t row, int64_t first, int64_t count, float* to, int64_t padded) {
  widen(static_cast<const In*>(of.x) + row * of.stride + first, to, count);
  if (of.mask != nullptr) {
    const uint8_t* mask = of.mask + row * of.stride + first;
    for (int64_t i = 0; i < count; ++i) to[i] *= mask[i] != 0 ? of.factor : 0.f;
    if constexpr (sizeof(In) == 2) {
      constexpr int64_t kPart = 256;
      In rounded[kPart];
      for (int64_t i = 0; i < count; i += kPart) roundTo<In>(to + i, rounded, std::min(kPart, count - i));
    }
  }
  std::fill(to + count, to + padded, 0.f);
}

template <typename In>
struct LowRank {
  static constexpr int64_t kLanes = LowRankVec::size();
  static constexpr int kProjected = 3;     // rows that are projected together, on kRankStep ranks: 12 sums
  static constexpr int64_t kDepth = 1536;  // columns of them at a time
  static constexpr int kUpdated = 4;       // rows that are updated together, 2 vectors of each
  static constexpr int64_t kChunk = 384;   // columns of them at a time
  static constexpr int64_t kReduced = 32;  // rows that are widened together for a reduction
  static_assert(kDepth % kWidthStep == 0 && kChunk % kWidthStep == 0 && kWidthStep % (3 * kLanes) == 0 &&
                kWidthStep % (2 * kLanes) == 0);

  static void project(const LowRankInput& of, int64_t first, int64_t end, const float* a, int64_t aStride,
                      int64_t ranks, float* h) {
    alignas(64) float wide[kProjected * kDepth];
    for (int64_t row = first; row < end; row += kProjected) {
      const int rows = static_cast<int>(std::min<int64_t>(kProjected, end - row));
      for (int64_t start = 0; start < of.width; start += kDepth) {
        const int64_t count = std::min(kDepth, of.width - start), padded = roundUp(count, kLanes);
        for (int i = 0; i < kProjected; ++i)
          lowRankRow<In>(of, row + std::min(i, rows - 1), start, count, wide + i * kDepth, padded);
        for (int64_t rank = 0; rank < ranks; rank += kRankStep) {
          float sums[kProjected][kRankStep];
          dots(wide, a + rank * aStride + start, aStride, padded, sums);
          for (int i = 0; i < rows; ++i) {
            float* to = h + (row + i) * ranks + rank;
            for (int64_t j = 0; j < kRankStep; ++j) to[j] = start == 0 ? sums[i][j] : to[j] + sums[i][j];
          }
        }
      }
    }
  }

  static void dots(const float* x, const float* a, int64_t aStride, int64_t count,
                   float (&sums)[kProjected][kRankStep]) {
    LowRankVec sum[kProjected][kRankStep];
    unrolled<kProjected>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      unrolled<kRankStep>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j] = LowRankVec(0.f); });
    });
    for (int64_t c = 0; c < count; c += kLanes) {
      LowRankVec left[kProjected];
      unrolled<kProjected>([&](auto i)
                               C10_ALWAYS_INLINE_ATTRIBUTE { left[i] = LowRankVec::loadu(x + i * kDepth + c); });
      unrolled<kRankStep>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
        const LowRankVec right = LowRankVec::loadu(a + j * aStride + c);
        unrolled<kProjected>(
            [&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE { sum[i][j] = at::vec::fmadd(left[i], right, sum[i][j]); });
      });
    }
    unrolled<kProjected>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      unrolled<kRankStep>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE { sums[i][j] = sumOf(sum[i][j]); });
    });
  }

  static void update(const LowRankInput& of, int64_t first, int64_t end, const float* h, int64_t ranks, const float* b,
                     int64_t bStride, void* y, int64_t yStride) {
    alignas(64) float wide[kUpdated * kChunk];
    for (int64_t row = first; row < end; row += kUpdated) {
      const int rows = static_cast<int>(std::min<int64_t>(kUpdated, end - row));
      for (int64_t start = 0; start < of.width; start += kChunk) {
        const int64_t count = std::min(kChunk, of.width - start);
        for (int i = 0; i < rows && of.mask == nullptr; ++i)
          widen(static_cast<const In*>(y) + (row + i) * yStride + start, wide + i * kChunk, count);
        const float* shares[kUpdated];
        for (int i = 0; i < kUpdated; ++i) shares[i] = h + (row + std::min(i, rows - 1)) * ranks;
        expand(shares, ranks, b + start, bStride, roundUp(count, 2 * kLanes), wide, of.mask == nullptr);
        for (int i = 0; i < rows; ++i) write(of, row + i, start, count, wide + i * kChunk, y, yStride);
      }
    }
  }

  /// wide [kUpdated][count] (+)= shares b.
  static void expand(const float* const (&shares)[kUpdated], int64_t ranks, const float* b, int64_t bStride,
                     int64_t count, float* wide, bool added) {
    for (int64_t c = 0; c < count; c += 2 * kLanes) {
      LowRankVec sum[kUpdated][2];
      unrolled<kUpdated>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
        const float* from = wide + i * kChunk + c;
        sum[i][0] = added ? LowRankVec::loadu(from) : LowRankVec(0.f);
        sum[i][1] = added ? LowRankVec::loadu(from + kLanes) : LowRankVec(0.f);
      });
      for (int64_t r = 0; r < ranks; ++r) {
        const LowRankVec low = LowRankVec::loadu(b + r * bStride + c);
        const LowRankVec high = LowRankVec::loadu(b + r * bStride + c + kLanes);
        unrolled<kUpdated>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
          const LowRankVec share(shares[i][r]);
          sum[i][0] = at::vec::fmadd(share, low, sum[i][0]);
          sum[i][1] = at::vec::fmadd(share, high, sum[i][1]);
        });
      }
      unrolled<kUpdated>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
        sum[i][0].store(wide + i * kChunk + c);
        sum[i][1].store(wide + i * kChunk + c + kLanes);
      });
    }
  }

  static void write(const LowRankInput& of, int64_t row, int64_t start, int64_t count, float* wide, void* y,
                    int64_t yStride) {
    if (of.mask == nullptr) return narrow<In>(wide, static_cast<In*>(y) + row * yStride + start, count);
    In rounded[kChunk];
    roundTo<In>(wide, rounded, count);
    const uint8_t* mask = of.mask + row * of.stride + start;
    float* to = static_cast<float*>(y) + row * yStride + start;
    for (int64_t i = 0; i < count; ++i) to[i] += mask[i] != 0 ? wide[i] * of.factor : 0.f;
  }

  static void reduce(const LowRankInput& of, int64_t rows, int64_t first, int64_t end, const float* h, int64_t ranks,
                     float* d, int64_t dStride) {
    alignas(64) float wide[kReduced * kChunk];
    for (int64_t start = first; start < end; start += kChunk) {
      const int64_t count = std::min(kChunk, end - start), padded = roundUp(count, 3 * kLanes);
      for (int64_t row = 0; row < rows; row += kReduced) {
        const int64_t here = std::min(kReduced, rows - row);
        for (int64_t i = 0; i < here; ++i) lowRankRow<In>(of, row + i, start, count, wide + i * kChunk, padded);
        for (int64_t c = 0; c < padded; c += 3 * kLanes) {
          for (int64_t rank = 0; rank < ranks; rank += kRankStep)
            gather(wide + c, here, h + row * ranks + rank, ranks, d + rank * dStride + start + c, dStride);
        }
      }
    }
  }

  /// d [kRankStep][3 vectors] += h^T x over `rows` rows.
  static void gather(const float* x, int64_t rows, const float* h, int64_t hStride, float* d, int64_t dStride) {
    LowRankVec sum[kRankStep][3];
    unrolled<kRankStep>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
      unrolled<3>([&](auto v)
                      C10_ALWAYS_INLINE_ATTRIBUTE { sum[j][v] = LowRankVec::loadu(d + j * dStride + v * kLanes); });
    });
    for (int64_t row = 0; row < rows; ++row, x += kChunk, h += hStride) {
      LowRankVec right[3];
      unrolled<3>([&](auto v) C10_ALWAYS_INLINE_ATTRIBUTE { right[v] = LowRankVec::loadu(x + v * kLanes); });
      unrolled<kRankStep>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
        const LowRankVec left(h[j]);
        unrolled<3>([&](auto v) C10_ALWAYS_INLINE_ATTRIBUTE { sum[j][v] = at::vec::fmadd(left, right[v], sum[j][v]); });
      });
    }
    unrolled<kRankStep>([&](auto j) C10_ALWAYS_INLINE_ATTRIBUTE {
      unrolled<3>([&](auto v) C10_ALWAYS_INLINE_ATTRIBUTE { sum[j][v].store(d + j * dStride + v * kLanes); });
    });
  }
};

}  // namespace
}  // namespace qwen_pt

// Sums of products of 16-bit integers by AVX512_VNNI: vpdpwssd multiplies two pairs and adds both to every 32 bits of a vector,
// in one instruction where AVX2 (fixed_point_rows.h) has two, of half the length. The integers are AVX2's, and sums of
// integers are exact, so the results are the same. Compiled once for each capability, with internal linkage.
#pragma once

#include "fixed_point_kernel.h"
#include "vnni_tiles.h"

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__)

/// Sixteen bits in tiles (vnni_tiles.h): two products to a sum at once.
struct FixedPointDots {
  using Task = FixedPointTask;
  static constexpr int64_t kTogether = 2, kFewRows = kFixedRows, kTileRows = 2 * kFixedRows;

  static int64_t depth(const Task& task) { return task.pairs; }
  static int32_t beginning(const Task&, int64_t) { return 0; }
  static C10_ALWAYS_INLINE __m512i add(__m512i sums, __m512i x, __m512i weights) {
    return _mm512_dpwssd_epi32(sums, x, weights);
  }
};

template <typename Out>
void fixedMultiply(const FixedPointTask& task) {
  static_assert(kFixedColumns == kTileColumns);
  multiplyTiles<FixedPointDots, Out>(task);
}

#endif

}  // namespace
}  // namespace qwen_pt

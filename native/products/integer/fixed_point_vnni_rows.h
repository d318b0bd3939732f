// Sums of products of 16-bit integers by AVX512_VNNI: vpdpwssd multiplies two pairs and adds both to every 32 bits of a vector,
// in one instruction where AVX2 (fixed_point_rows.h) has two, of half the length. The integers are AVX2's, and sums of
// integers are exact, so the results are the same. Two panels of columns meet twelve rows of x, a sum for each pair in the
// registers. Compiled once for each capability, with internal linkage.
#pragma once

#include "fixed_point_kernel.h"
#include "int8_vnni_rows.h"

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__)

constexpr int kFixedTileRows = 2 * kFixedRows, kFixedTilePanels = 2;
/// Rows of x that meet panels before the next, and pairs of a sum before the next.
constexpr int64_t kFixedBlock = 16 * kFixedTileRows;
constexpr int64_t kFixedPairs = 512;

template <int Panels>
using FixedColumns = Int8Columns<Panels, FixedPointTask>;

/// Sums of Rows rows and Panels panels, added to those at `kept` [Rows][Panels][kFixedColumns] unless they are the first;
/// into the result where they are whole, from `row` on, of which there are `rows`.
template <int Rows, int Panels, typename Out>
void fixedTile(const int16_t* x, int64_t stride, const int16_t* panel, int64_t panelStride, int64_t pairs,
               int32_t* kept, bool first, const FixedColumns<Panels>* into, int64_t row, int64_t rows) {
  __m512i sums[Rows][Panels];
  unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      const int32_t* from = kept + (i * Panels + p) * kFixedColumns;
      sums[i][p] = first ? _mm512_setzero_si512() : _mm512_loadu_si512(from);
    });
  });
  for (int64_t step = 0; step < pairs; ++step, x += 2, panel += 2 * kFixedColumns) {
    __m512i weights[Panels];
    unrolled<Panels>([&](auto p)
                         C10_ALWAYS_INLINE_ATTRIBUTE { weights[p] = _mm512_loadu_si512(panel + p * panelStride); });
    unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      int32_t pair;
      std::memcpy(&pair, x + i * stride, sizeof pair);
      const __m512i both = _mm512_set1_epi32(pair);
      unrolled<Panels>(
          [&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE { sums[i][p] = _mm512_dpwssd_epi32(sums[i][p], both, weights[p]); });
    });
  }
  unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    if (into != nullptr) {
      // x's rows are there up to a multiple of kFixedRows, the result's are not
      if (i < rows) into->template write<Out>(row + i, sums[i]);
      return;
    }
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      _mm512_storeu_si512(kept + (i * Panels + p) * kFixedColumns, sums[i][p]);
    });
  });
}

/// Columns from there on, all rows: whole tiles, then smaller ones.
template <int Panels, typename Out>
void fixedPanels(const FixedPointTask& task, int64_t column, int32_t* kept) {
  const FixedColumns<Panels> result(task, column);
  const int64_t panelStride = task.pairs * 2 * kFixedColumns;
  for (int64_t row = 0; row < task.rows; row += kFixedBlock) {
    const int64_t rows = std::min(kFixedBlock, task.rows - row);
    for (int64_t pair = 0; pair < task.pairs; pair += kFixedPairs) {
      const int64_t pairs = std::min(kFixedPairs, task.pairs - pair);
      const int16_t* panel = task.panels + column * task.pairs * 2 + pair * 2 * kFixedColumns;
      const FixedColumns<Panels>* into = pair + pairs == task.pairs ? &result : nullptr;
      for (int64_t i = 0; i < rows;) {
        const bool whole = i + kFixedTileRows <= rows;
        const auto tile = whole ? fixedTile<kFixedTileRows, Panels, Out> : fixedTile<kFixedRows, Panels, Out>;
        tile(task.x + (row + i) * task.xStride + pair * 2, task.xStride, panel, panelStride, pairs,
             kept + i * Panels * kFixedColumns, pair == 0, into, row + i, rows - i);
        i += whole ? kFixedTileRows : kFixedRows;
      }
    }
  }
}

template <typename Out>
void fixedMultiply(const FixedPointTask& task) {
  static_assert(kFixedColumns == kInt8Columns, "they share how sums are written");
  constexpr int64_t kWidth = kFixedTilePanels * kFixedColumns;
  alignas(64) int32_t kept[kFixedBlock * kWidth];
  const int64_t panels = roundUp(task.columns, kFixedColumns);
  int64_t column = 0;
  for (; column + kWidth <= panels; column += kWidth) fixedPanels<kFixedTilePanels, Out>(task, column, kept);
  if (column < panels) fixedPanels<1, Out>(task, column, kept);
}

#endif

}  // namespace
}  // namespace qwen_pt

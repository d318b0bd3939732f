// Products of integers of 8 and of 16 bits by AVX512_VNNI, whose instructions multiply two or four neighbours and add the
// products to a sum of 32 bits. Two panels of columns meet twelve rows of x, a sum for each pair in the registers. What differs
// by the integers' size is in Dots (int8_vnni_rows.h, fixed_point_vnni_rows.h). Compiled once for each capability, with
// internal linkage.
#pragma once

#include "kernels/linear/matrix_tile.h"
#include "kernels/round_up.h"
#include "products/panels/panel_rows.h"

#include <algorithm>
#include <cstring>

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__)

/// Columns of a panel, and panels of a tile.
constexpr int64_t kTileColumns = 16;
constexpr int kTilePanels = 2;
/// Steps of a sum that are taken before the next rows.
constexpr int64_t kTileSteps = 512;

/// 16 numbers of any type as float, `n` of them there.
template <typename In>
C10_ALWAYS_INLINE at::vec::Vectorized<float> loadNumbers(const In* from, int64_t n) {
  if (n == 16) {
    if constexpr (std::is_same_v<In, c10::BFloat16>) {
      const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    } else if constexpr (std::is_same_v<In, c10::Half>) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    } else {
      return _mm512_loadu_ps(from);
    }
  }
  alignas(64) float rest[16] = {};
  for (int64_t i = 0; i < n; ++i) rest[i] = static_cast<float>(from[i]);
  return _mm512_load_ps(rest);
}

/// Sixteen sums of a row as numbers, as many as there are columns, into the result.
template <typename Out, typename Task>
C10_ALWAYS_INLINE void writeSums(const Task& task, int64_t row, int64_t column, __m512i sums, __m512 columnScale) {
  using Vec = at::vec::Vectorized<float>;
  const __m512 scale = _mm512_set1_ps(task.rowScales[row]);
  Vec numbers = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), columnScale), scale);
  Out* out = static_cast<Out*>(task.out) + row * task.outStride + column;
  const int64_t columns = task.columns - column;
  if (columns < kTileColumns) {
    alignas(64) float line[kTileColumns];
    numbers.store(line);
    PanelRows<Out>::narrow(line, out, columns, 1, task.beta);
    return;
  }
  if (task.beta != 0) numbers = at::vec::fmadd(loadNumbers(out, kTileColumns), Vec(task.beta), numbers);
  if constexpr (std::is_same_v<Out, c10::BFloat16>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), at::vec::cvtfp32_bf16(numbers));
  } else if constexpr (std::is_same_v<Out, c10::Half>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), at::vec::cvtfp32_fp16(numbers));
  } else {
    numbers.store(out);
  }
}

/// Where the sums of some columns go as numbers, of a task.
template <int Panels, typename Task>
struct SumColumns {
  const Task& task;
  int64_t column;
  __m512 scales[Panels];

  SumColumns(const Task& of, int64_t first) : task(of), column(first) {
    for (int64_t p = 0; p < Panels; ++p) {
      const int64_t from = column + p * kTileColumns;
      const auto there = std::clamp<int64_t>(task.columns - from, 0, kTileColumns);
      const auto mask = static_cast<__mmask16>((1u << there) - 1);
      scales[p] =
          task.columnScales == nullptr ? _mm512_set1_ps(1.f) : _mm512_maskz_loadu_ps(mask, task.columnScales + from);
    }
  }

  /// A row's, from the registers.
  template <typename Out>
  C10_ALWAYS_INLINE void write(int64_t row, const __m512i (&sums)[Panels]) const {
#if defined(__AVX512BF16__)
    if constexpr (std::is_same_v<Out, c10::BFloat16> && Panels == 2) {
      if (column + 2 * kTileColumns <= task.columns) return writeBoth(row, sums);
    }
#endif
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      const int64_t first = column + p * kTileColumns;
      if (first < task.columns) writeSums<Out>(task, row, first, sums[p], scales[p]);
    });
  }

 private:
#if defined(__AVX512BF16__)
  /// A whole line of bfloat16, rounded by one instruction.
  C10_ALWAYS_INLINE void writeBoth(int64_t row, const __m512i (&sums)[Panels]) const {
    using Vec = at::vec::Vectorized<float>;
    const __m512 scale = _mm512_set1_ps(task.rowScales[row]);
    auto* out = static_cast<c10::BFloat16*>(task.out) + row * task.outStride + column;
    Vec numbers[2];
    unrolled<2>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      numbers[p] = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[p]), scales[p]), scale);
      if (task.beta == 0) return;
      numbers[p] = at::vec::fmadd(loadNumbers(out + p * kTileColumns, kTileColumns), Vec(task.beta), numbers[p]);
    });
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(numbers[1], numbers[0]));
  }
#endif
};

/// Sums of Rows rows and Panels panels, added to those at `kept` [Rows][Panels][kTileColumns], or to `beginning` [Panels]
/// [kTileColumns] where they are the first; into the result where they are whole, from `row` on, of which there are `rows`.
template <typename Dots, int Rows, int Panels, typename Out, typename X, typename Weight>
void dotTile(const X* x, int64_t stride, const Weight* panel, int64_t panelStride, int64_t steps, int32_t* kept,
             const int32_t* beginning, const SumColumns<Panels, typename Dots::Task>* into, int64_t row, int64_t rows) {
  static_assert(Dots::kTogether * sizeof(X) == sizeof(int32_t));
  __m512i sums[Rows][Panels];
  unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      const int32_t* from = beginning != nullptr ? beginning : kept + i * Panels * kTileColumns;
      sums[i][p] = _mm512_loadu_si512(from + p * kTileColumns);
    });
  });
  // by twos, or 16 bits lose a fortieth
#pragma GCC unroll 2
  for (int64_t step = 0; step < steps; ++step, x += Dots::kTogether, panel += Dots::kTogether * kTileColumns) {
    __m512i weights[Panels];
    unrolled<Panels>([&](auto p)
                         C10_ALWAYS_INLINE_ATTRIBUTE { weights[p] = _mm512_loadu_si512(panel + p * panelStride); });
    unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
      int32_t together;
      std::memcpy(&together, x + i * stride, sizeof together);
      const __m512i numbers = _mm512_set1_epi32(together);
      unrolled<Panels>([&](auto p)
                           C10_ALWAYS_INLINE_ATTRIBUTE { sums[i][p] = Dots::add(sums[i][p], numbers, weights[p]); });
    });
  }
  unrolled<Rows>([&](auto i) C10_ALWAYS_INLINE_ATTRIBUTE {
    if (into != nullptr) {
      // x's rows are there up to a multiple of kFewRows, the result's are not
      if (i < rows) into->template write<Out>(row + i, sums[i]);
      return;
    }
    unrolled<Panels>([&](auto p) C10_ALWAYS_INLINE_ATTRIBUTE {
      _mm512_storeu_si512(kept + (i * Panels + p) * kTileColumns, sums[i][p]);
    });
  });
}

/// Columns from there on, all rows: whole tiles, then smaller ones.
template <typename Dots, int Panels, typename Out>
void multiplyPanels(const typename Dots::Task& task, int64_t column, int64_t block, int32_t* kept) {
  alignas(64) int32_t beginning[Panels * kTileColumns];
  for (int64_t i = 0; i < Panels * kTileColumns; ++i) beginning[i] = Dots::beginning(task, column + i);
  const SumColumns<Panels, typename Dots::Task> result(task, column);
  const int64_t depth = Dots::depth(task), panelStride = depth * Dots::kTogether * kTileColumns;
  for (int64_t first = 0; first < task.rows; first += block) {
    const int64_t rows = std::min(block, task.rows - first);
    for (int64_t step = 0; step < depth; step += kTileSteps) {
      const int64_t steps = std::min(kTileSteps, depth - step);
      const auto* into = step + steps == depth ? &result : nullptr;
      const auto* panel = task.panels + (column * depth + step * kTileColumns) * Dots::kTogether;
      for (int64_t i = 0; i < rows;) {
        const bool whole = i + Dots::kTileRows <= rows;
        const auto* x = task.x + (first + i) * task.xStride + step * Dots::kTogether;
        int32_t* sums = kept + i * Panels * kTileColumns;
        const int32_t* from = step == 0 ? beginning : nullptr;
        if (whole) {
          dotTile<Dots, Dots::kTileRows, Panels, Out>(x, task.xStride, panel, panelStride, steps, sums, from, into,
                                                      first + i, rows - i);
        } else {
          dotTile<Dots, Dots::kFewRows, Panels, Out>(x, task.xStride, panel, panelStride, steps, sums, from, into,
                                                     first + i, rows - i);
        }
        i += whole ? Dots::kTileRows : Dots::kFewRows;
      }
    }
  }
}

template <typename Dots, typename Out>
void multiplyTiles(const typename Dots::Task& task) {
  constexpr int64_t kWidth = kTilePanels * kTileColumns;
  // rows of x that meet panels before the next
  constexpr int64_t kBlock = 16 * Dots::kTileRows;
  alignas(64) int32_t kept[kBlock * kWidth];
  const int64_t panels = roundUp(task.columns, kTileColumns);
  int64_t column = 0;
  for (; column + kWidth <= panels; column += kWidth) {
    multiplyPanels<Dots, kTilePanels, Out>(task, column, kBlock, kept);
  }
  if (column < panels) multiplyPanels<Dots, 1, Out>(task, column, kBlock, kept);
}

#endif

}  // namespace
}  // namespace qwen_pt

// The kernels of one capability in a table: included by each vector_kernels.*.cc, which the build compiles with that
// capability's flags. Everything has internal linkage but the function that hands the table out.
#pragma once

#include "for_dtype.h"
#include "kernels/attention/attention_backward.h"
#include "kernels/linear/cross_entropy_rows.h"
#include "kernels/linear/quantize_rows.h"
#include "kernels/rows/adamw_runs.h"
#include "kernels/rows/norm_rows.h"
#include "kernels/rows/swiglu_rows.h"
#include "kernels/vector_kernels.h"
#include "products/coded/eight_bit_rows.h"
#include "products/coded/four_bit_dots.h"
#include "products/coded/four_bit_rows.h"
#include "products/integer/integer_tables.h"
#include "products/low_rank/low_rank_rows.h"
#include "products/packed/packed_rows.h"
#include "products/panels/panel_rows.h"

namespace qwen_pt {
namespace {

int64_t attentionForwardScratch(const AttentionProblem& problem) {
  int64_t bytes = 0;
  forType(problem.dtype, [&](auto zero) { bytes = AttentionForward<decltype(zero)>(problem, nullptr).used(); });
  return bytes;
}

void attentionForward(const AttentionProblem& problem, int64_t first, int64_t end, char* scratch) {
  forType(problem.dtype, [&](auto zero) {
    AttentionForward<decltype(zero)> attention(problem, scratch);
    for (int64_t task = first; task < end; ++task) attention.task(task);
  });
}

int64_t attentionBackwardScratch(const AttentionProblem& problem) {
  int64_t bytes = 0;
  forType(problem.dtype, [&](auto zero) { bytes = AttentionBackward<decltype(zero)>(problem, nullptr).used(); });
  return bytes;
}

void attentionBackward(const AttentionProblem& problem, int64_t first, int64_t end, char* scratch) {
  forType(problem.dtype, [&](auto zero) {
    AttentionBackward<decltype(zero)> attention(problem, scratch);
    for (int64_t task = first; task < end; ++task) attention.task(task);
  });
}

int64_t attentionPartialSize(const AttentionProblem& problem) {
  int64_t size = 0;
  forType(problem.dtype, [&](auto zero) { size = AttentionBackward<decltype(zero)>::partialSize(problem); });
  return size;
}

void attentionJoin(const AttentionProblem& problem, int64_t first, int64_t end, char* scratch) {
  forType(problem.dtype, [&](auto zero) {
    AttentionBackward<decltype(zero)> attention(problem, scratch);
    for (int64_t head = first; head < end; ++head) attention.join(head);
  });
}

template <typename Body>
void forNorm(const NormProblem& problem, const Body& body) {
  forType(problem.dtype, [&](auto zero) {
    using In = decltype(zero);
    if (problem.outDtype == problem.dtype) {
      NormRows<In, In> rows(problem);
      body(rows);
    } else if constexpr (sizeof(In) == 2) {
      NormRows<In, float> rows(problem);
      body(rows);
    }
  });
}

void normForward(const NormProblem& problem, int64_t first, int64_t end) {
  forNorm(problem, [&](auto& rows) {
    for (int64_t row = first; row < end; ++row) rows.forward(row);
  });
}

void normBackward(const NormProblem& problem, int64_t first, int64_t end) {
  forNorm(problem, [&](auto& rows) {
    for (int64_t row = first; row < end; ++row) rows.backward(row);
  });
}

void swigluForward(const SwigluProblem& problem, int64_t first, int64_t end) {
  forType(problem.dtype, [&](auto zero) { Swiglu<decltype(zero)>::forward(problem, first, end); });
}

void swigluBackward(const SwigluProblem& problem, int64_t first, int64_t end) {
  forType(problem.dtype, [&](auto zero) { Swiglu<decltype(zero)>::backward(problem, first, end); });
}

void crossEntropyRows(const CrossEntropyProblem& problem, int64_t first, int64_t end) {
  forType(problem.dtype, [&](auto zero) { CrossEntropyRows<decltype(zero)>::rows(problem, first, end); });
}

void panelWiden(c10::ScalarType dtype, const void* from, float* to, int64_t count) {
  forProductType(dtype, [&](auto zero) { widen(static_cast<const decltype(zero)*>(from), to, count); });
}

void panelNarrow(c10::ScalarType dtype, const float* from, void* to, int64_t count, float alpha, float beta) {
  forProductType(dtype, [&](auto zero) {
    using Out = decltype(zero);
    PanelRows<Out>::narrow(from, static_cast<Out*>(to), count, alpha, beta);
  });
}

void panelDot(c10::ScalarType dtype, const float* x, int64_t xStride, int64_t m, const void* rows, int64_t rowStride,
              int64_t count, int64_t width, float* out, int64_t outStride) {
  forProductType(dtype, [&](auto zero) {
    dotRows(x, xStride, m, static_cast<const decltype(zero)*>(rows), rowStride, count, width, out, outStride);
  });
}

void lowRankProjectRows(const LowRankInput& of, int64_t first, int64_t end, const float* a, int64_t aStride,
                        int64_t ranks, float* h) {
  forNarrowType(of.dtype, [&](auto zero) { LowRank<decltype(zero)>::project(of, first, end, a, aStride, ranks, h); });
}

void lowRankUpdateRows(const LowRankInput& of, int64_t first, int64_t end, const float* h, int64_t ranks,
                       const float* b, int64_t bStride, void* y, int64_t yStride) {
  forNarrowType(of.dtype,
                [&](auto zero) { LowRank<decltype(zero)>::update(of, first, end, h, ranks, b, bStride, y, yStride); });
}

void lowRankReduceRows(const LowRankInput& of, int64_t rows, int64_t first, int64_t end, const float* h, int64_t ranks,
                       float* d, int64_t dStride) {
  forNarrowType(of.dtype,
                [&](auto zero) { LowRank<decltype(zero)>::reduce(of, rows, first, end, h, ranks, d, dStride); });
}

void adamwForRuns(const AdamwProblem& problem, int64_t first, int64_t end) {
  forProductType(problem.dtype, [&](auto zero) { adamwRuns<decltype(zero)>(problem, first, end); });
}

void fourBitDecode(c10::ScalarType dtype, const uint8_t* codes, const float* levels, const float* scales, int64_t block,
                   int64_t count, float* to) {
  forProductType(dtype, [&](auto zero) { fourBitDecodeRow<decltype(zero)>(codes, levels, scales, block, count, to); });
}

void fourBitDecodeAs(c10::ScalarType dtype, const uint8_t* codes, const float* levels, const float* scales,
                     int64_t block, int64_t count, void* to) {
  forProductType(dtype, [&](auto zero) {
    fourBitDecodeNarrow(codes, levels, scales, block, count, static_cast<decltype(zero)*>(to));
  });
}

void fourBitArrangeRow(c10::ScalarType dtype, const float* x, int64_t width, void* to) {
  forProductType(dtype, [&](auto zero) { fourBitArrange<decltype(zero)>(x, width, to); });
}

void fourBitDot(c10::ScalarType dtype, const FourBitDots& of) {
  forProductType(dtype, [&](auto zero) { fourBitDotRow<decltype(zero)>(of); });
}

int64_t fourBitArrangedSize(c10::ScalarType dtype) {
  int64_t size = 0;
  forProductType(dtype, [&](auto zero) { size = sizeof(FourBitFactor<decltype(zero)>); });
  return size;
}

void eightBitDecode(c10::ScalarType dtype, const int8_t* codes, float scale, int64_t count, float* to) {
  forProductType(dtype, [&](auto zero) { eightBitDecodeRow<decltype(zero)>(codes, scale, count, to); });
}

void eightBitDecodeAs(c10::ScalarType dtype, const int8_t* codes, float scale, int64_t count, void* to) {
  forProductType(dtype,
                 [&](auto zero) { eightBitDecodeNarrow(codes, scale, count, static_cast<decltype(zero)*>(to)); });
}

VectorKernels makeTable(const char* capability) {
  return {capability,
          {attentionForwardScratch, attentionForward, attentionBackwardScratch, attentionBackward, attentionPartialSize,
           attentionJoin},
          {normForward, normBackward},
          {swigluForward, swigluBackward},
          {crossEntropyRows},
          {adamwForRuns},
          {fourBitQuantize, eightBitQuantize},
          {panelWiden, panelNarrow, panelDot},
          {lowRankProjectRows, lowRankUpdateRows, lowRankReduceRows},
          {fourBitDecode, fourBitDecodeAs, fourBitArrangeRow, fourBitDot, fourBitArrangedSize},
          {eightBitDecode, eightBitDecodeAs},
          fixedPointTable(),
          int8Table(),
          packedTable()};
}

}  // namespace
}  // namespace qwen_pt

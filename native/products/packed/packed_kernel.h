// What packed products of bfloat16 ask of the processor: packed_rows.h does it where it multiplies them itself.
#pragma once

#include <cstdint>

namespace qwen_pt {

/// Rows of x that are multiplied together, and columns of a result.
constexpr int64_t kPackedRows = 12, kPackedColumns = 32;

/// Memory that is read next: `count` runs of `lines` lines, `stride` numbers apart.
struct NextRead {
  const uint16_t* from;
  int64_t count, lines, stride;
};

/// A tile after another of a result [rows, columns], from packed operands.
struct PackedTask {
  const uint16_t* x;       // [rows / kPackedRows][pairs][kPackedRows][2]
  const uint16_t* panels;  // [columns / kPackedColumns][pairs][kPackedColumns][2]
  int64_t pairs;           // of the depth
  int64_t rows, columns;   // of the result
  float* sums;             // [rows][sumsStride], of a depth that comes in parts; else null
  int64_t sumsStride;
  bool first, last;  // of those parts
  uint16_t* out;     // [rows][outStride] = alpha sum + beta out; with beta = 0 it is not read
  int64_t outStride;
  float alpha, beta;
  NextRead next;  // what will be packed after this, fetched meanwhile
};

struct PackedKernel {
  /// `count` <= kPackedRows rows, neighbours along the depth, as one tile of x; zeros beyond.
  void (*packRows)(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to);
  /// The same of what lies by columns: `depth` rows of `count` numbers.
  void (*packRowsAcross)(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to);
  /// `count` rows of a weight, neighbours along the depth, as panels of kPackedColumns, `panel` numbers apart; zeros beyond.
  void (*packColumns)(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to, int64_t panel);
  /// The same of `depth` rows of `count` numbers.
  void (*packColumnsAcross)(const uint16_t* from, int64_t stride, int64_t count, int64_t depth, uint16_t* to,
                            int64_t panel);
  void (*multiply)(const PackedTask&);
};

}  // namespace qwen_pt

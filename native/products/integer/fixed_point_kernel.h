// What products of 16-bit integers ask of the processor: fixed_point_rows.h does it where there are instructions for it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// Rows of a weight that are packed together, and columns of a result that are computed together.
constexpr int64_t kFixedColumns = 16;
/// Rows of x that are multiplied together.
constexpr int64_t kFixedRows = 6;
/// The largest integer of a weight: 12 bits with the sign.
constexpr int64_t kFixedWeightMost = 2047;

/// A tile after another of a result [rows, columns], from packed operands.
struct FixedPointTask {
  const int16_t* x;  // [rows, rounded up to kFixedRows][xStride]
  int64_t xStride;
  const int16_t* panels;  // [columns / kFixedColumns][pairs][kFixedColumns][2]
  int64_t pairs;
  int64_t rows, columns;      // of the result
  const float* rowScales;     // [rows]
  const float* columnScales;  // [columns], or null
  c10::ScalarType dtype;      // of the result
  void* out;
  int64_t outStride;
  float beta;  // what of the result is kept
};

struct FixedPointKernel {
  /// Rows of a weight [count <= kFixedColumns][rowStride], 16 bits or float, as integers [kFixedColumns][stride], zeros
  /// beyond; the value of one unit of each to scales. Returns the largest sum of squares of a row.
  double (*quantizeRows)(c10::ScalarType dtype, const void* rows, int64_t rowStride, int64_t count, int64_t width,
                         int16_t* to, int64_t stride, float* scales);
  /// kFixedColumns rows as one panel of columns: [stride / 2][kFixedColumns][2].
  void (*packColumns)(const int16_t* rows, int64_t stride, int16_t* panel);
  /// kFixedColumns rows as pairs of depth: at `to` for each kFixedColumns columns, `panelStride` apart. Adds each
  /// column's squares to `squares` [stride].
  void (*packDepth)(const int16_t* rows, int64_t stride, int16_t* to, int64_t panelStride, float* squares);
  /// A row of x of this dtype, times `factors` unless null, as integers [stride], zeros beyond, so large that with a
  /// weight whose rows have norms of at most `norm` no sum passes 2^31. Returns the value of one unit, NaN where x is not
  /// finite.
  float (*quantizeToken)(c10::ScalarType dtype, const void* x, const float* factors, int64_t width, double norm,
                         int16_t* to, int64_t stride);
  void (*multiply)(const FixedPointTask&);
};

}  // namespace qwen_pt

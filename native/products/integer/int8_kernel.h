// What products of 8-bit integers ask of the processor: int8_rows.h (AVX2) and int8_vnni_rows.h
// (AVX512_VNNI) do it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// Columns of a result that are computed together.
constexpr int64_t kInt8Columns = 16;
/// Rows of x that are multiplied together.
constexpr int64_t kInt8Rows = 4;
/// Numbers of a sum that are read at once, and rows of a weight that are quantized together: two quads.
constexpr int64_t kInt8Depth = 8;
/// x's integers lie around this one.
constexpr int32_t kInt8Zero = 128;

/// A tile after another of a result [rows, columns], from packed operands.
struct Int8Task {
  const uint8_t* x;  // [rows, rounded up to kInt8Rows][xStride], each plus kInt8Zero
  int64_t xStride;
  const int8_t* panels;       // [columns / kInt8Columns][quads][kInt8Columns][4]
  int64_t quads;              // even
  int64_t rows, columns;      // of the result
  const int32_t* sums;        // [columns, rounded up]: of each column's integers
  const float* rowScales;     // [rows]
  const float* columnScales;  // [columns], or null
  c10::ScalarType dtype;      // of the result
  void* out;
  int64_t outStride;
  float beta;  // what of the result is kept
};

struct Int8Kernel {
  /// kInt8Depth rows of a weight as float [kInt8Depth][width], `count` of them given, as integers [count][width], such that
  /// no sum that `multiply` makes passes its limits, in either direction. Writes the value of one unit of each row.
  void (*quantizeRows)(const float* rows, int64_t count, int64_t width, int8_t* to, float* scales);
  /// kInt8Columns rows of `width`, `rowStride` apart and `count` of them there, as one panel of columns:
  /// [stride / 4][kInt8Columns][4], zeros where nothing is; stride is a multiple of 32.
  void (*packColumns)(const int8_t* rows, int64_t rowStride, int64_t count, int64_t width, int64_t stride,
                      int8_t* panel);
  /// Four rows, `rowStride` apart and `count` of them there, as a quad of depth: `width` columns, at `to` for each
  /// kInt8Columns of them, `panelStride` apart, zeros beyond.
  void (*packDepth)(const int8_t* rows, int64_t rowStride, int64_t count, int64_t width, int8_t* to,
                    int64_t panelStride);
  /// A row of x of this dtype, times `factors` unless null, as integers of 8 bits plus kInt8Zero. Returns the value of one
  /// unit, NaN where x is not finite.
  float (*quantizeToken)(c10::ScalarType dtype, const void* x, const float* factors, int64_t width, uint8_t* to,
                         int64_t stride);
  void (*multiply)(const Int8Task&);
};

}  // namespace qwen_pt

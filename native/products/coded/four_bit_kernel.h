// What codes of 4 bits ask of the processor's vector units: four_bit_rows.h and four_bit_dots.h do it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// Values of a code.
constexpr int64_t kFourBitLevels = 16;

/// Numbers of x that `dot` reads together; a run is a multiple of them.
constexpr int64_t kFourBitGroup = 64;

/// Few rows of x against a row of codes.
struct FourBitDots {
  const void* x;  // [m][runs * block], as `arrange` left it
  int64_t m;
  const uint8_t* codes;  // [runs * block / 2]
  const float* levels;
  const float* scales;  // [runs]
  int64_t runs, block;
  float* out;  // [m][outStride]
  int64_t outStride;
};

struct FourBitKernel {
  /// `count` values from the start of a byte, the first in its high bits: levels[code] times the scale of its run of
  /// `block` values, rounded to `dtype` and given as float. Runs are counted from the first value.
  void (*decode)(c10::ScalarType dtype, const uint8_t* codes, const float* levels, const float* scales, int64_t block,
                 int64_t count, float* to);
  /// The same, given as `dtype`.
  void (*decodeNarrow)(c10::ScalarType dtype, const uint8_t* codes, const float* levels, const float* scales,
                       int64_t block, int64_t count, void* to);
  /// A row of x, `width` floats, as `dot` reads it for values rounded to `dtype`: `arrangedSize` bytes each.
  void (*arrange)(c10::ScalarType dtype, const float* x, int64_t width, void* to);
  void (*dot)(c10::ScalarType dtype, const FourBitDots&);
  /// Bytes of an arranged number.
  int64_t (*arrangedSize)(c10::ScalarType dtype);
};

}  // namespace qwen_pt

// What codes of 4 bits ask of the processor's vector units: four_bit_rows.h does it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// Values of a code.
constexpr int64_t kFourBitLevels = 16;

struct FourBitKernel {
  /// `count` values from the start of a byte, the first in its high bits: levels[code] times the scale of its run of
  /// `block` values, rounded to `dtype` and given as float. Runs are counted from the first value.
  void (*decode)(c10::ScalarType dtype, const uint8_t* codes, const float* levels, const float* scales, int64_t block,
                 int64_t count, float* to);
};

}  // namespace qwen_pt

// What quantizing asks of the processor's vector units: quantize_rows.h does it, quantize.cc and linear_8bit.cc ask.
#pragma once

#include <cstdint>

namespace qwen_pt {

/// 16 levels in their order: what lies between two neighbours, and the code of each.
struct FourBitPlaces {
  float bounds[16];  // 15 of them
  uint8_t codes[16];
};

struct QuantizeKernel {
  /// `runs` whole runs of `run` numbers: each number, in units of its run's largest, becomes the code of the nearest level,
  /// a tie the lower one's; two in a byte, the first in its high bits.
  void (*fourBit)(const FourBitPlaces&, const float* x, int64_t runs, int64_t run, uint8_t* codes, float* scales);
  /// A row, rounded to float16 in place, in 127ths of its largest, ties to even; returns the largest.
  float (*eightBit)(float* x, int64_t count, int8_t* codes);
};

/// The least scale of a run of 4 bits.
constexpr float kLeastScale = 1e-38f;

}  // namespace qwen_pt

// What a weight in codes of 8 bits asks of the processor: eight_bit_rows.h does it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

struct EightBitKernel {
  /// to[i] = codes[i] * scale, rounded to a dtype.
  void (*decode)(c10::ScalarType dtype, const int8_t* codes, float scale, int64_t count, float* to);
  /// The same, given as that dtype.
  void (*decodeNarrow)(c10::ScalarType dtype, const int8_t* codes, float scale, int64_t count, void* to);
};

}  // namespace qwen_pt

// What this processor can do, as far as a choice between kernels depends on it.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

namespace qwen_pt {

/// "AVX2", "AVX2_VNNI", "AVX512", "AVX512_VNNI", "AVX512_BF16", "AMX" or "default": what libtorch and the kernels here use,
/// which ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA lower.
const std::string& processorKind();

/// Instructions beyond what libtorch's AVX2 and AVX512 say, as far as the same two variables leave them.
struct Instructions {
  bool bfloat16, half, tiles;     // products of 16-bit floats; AMX
  bool integers512, integers256;  // dot products of 16-bit and 8-bit integers (VNNI) by length of the vectors, in bits
};

const Instructions& instructions();

/// Whether libtorch's products of this 16-bit dtype run on the processor's own arithmetic.
bool multipliesNatively(c10::ScalarType dtype);

}  // namespace qwen_pt

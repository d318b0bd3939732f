// What this processor can do, as far as a choice between kernels depends on it.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

namespace qwen_pt {

/// "AVX2", "AVX512", "AVX512_BF16", "AMX" or "default": what libtorch and the kernels here use, which
/// ATEN_CPU_CAPABILITY lowers.
const std::string& processorKind();

/// Whether libtorch's products of this 16-bit dtype run on the processor's own arithmetic.
bool multipliesNatively(c10::ScalarType dtype);

}  // namespace qwen_pt

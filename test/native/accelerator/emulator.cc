// The kernels of native/kernels/cuda as a library that launches them on the processor: what the addon loads in place of
// a card's driver (native/accelerator/kernels.h). Compiled by the tests with a folder of sources on the include path.
#include "emulator.h"

#include "adamw.cu"
#include "cross_entropy.cu"
#undef BOTH
#include "float8.cu"
#undef BOTH
#include "four_bit.cu"
#include "lora.cu"
#undef ALL
#undef NORM
#undef NORMS
#include "norm.cu"
#undef BOTH
#include "swiglu.cu"

#include <cstdio>

/// Returns 0, or 1 with the reason in `error` (256 bytes).
extern "C" __attribute__((visibility("default"))) int qwen_pt_launch_emulated(const char* name, unsigned blocks,
                                                                               unsigned threads, unsigned shared,
                                                                               void** arguments, char* error) {
  const auto found = emulated::kernels().find(name);
  try {
    if (found == emulated::kernels().end()) throw std::runtime_error("no such kernel");
    found->second(blocks, threads, shared, arguments);
    return 0;
  } catch (const std::exception& thrown) {
    std::snprintf(error, 256, "%s: %s", name, thrown.what());
    return 1;
  }
}

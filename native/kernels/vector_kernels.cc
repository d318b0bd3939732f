// The vector kernels for any processor, and which of the tables this one gets.

#include "capabilities/vector_kernels_table.h"
#include "products/processor.h"

#include <ATen/Version.h>
#include <torch/library.h>

#include <string>

namespace qwen_pt {

namespace {

const VectorKernels& choose() {
#if defined(__x86_64__) || defined(_M_X64)
  const std::string capability = at::get_cpu_capability();
  const Instructions& has = instructions();
  if (has.integers512) return has.bfloat16 ? vectorKernelsAvx512() : vectorKernelsAvx512Vnni();
  if (has.integers256) return vectorKernelsAvx2Vnni();
  if (capability == "AVX512" || capability == "AVX2") return vectorKernelsAvx2();
#endif
  return vectorKernelsDefault();
}

std::string capability() { return vectorKernels().capability; }

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) { library.def("kernel_capability() -> str", capability); }

const VectorKernels& vectorKernelsDefault() {
  static const VectorKernels table = makeTable("default");
  return table;
}

const VectorKernels& vectorKernels() {
  static const VectorKernels& chosen = choose();
  return chosen;
}

}  // namespace qwen_pt

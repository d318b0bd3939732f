// The vector kernels for any processor, and which of the tables this one gets.

#include "vector_kernels_table.h"

#include <ATen/Version.h>
#include <torch/library.h>

#include <string>

namespace qwen_pt {

namespace {

#if defined(__x86_64__) || defined(_M_X64)
/// libtorch's AVX512 says nothing of products of bfloat16 and of bytes, which Skylake's generation lacks.
bool multipliesNarrow() {
#if defined(__GNUC__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}
#endif

const VectorKernels& choose() {
#if defined(__x86_64__) || defined(_M_X64)
  const std::string capability = at::get_cpu_capability();
  if (capability == "AVX512" && multipliesNarrow()) return vectorKernelsAvx512();
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

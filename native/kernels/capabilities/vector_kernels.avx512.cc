// The vector kernels for processors with AVX-512, its bfloat16 products included.

#include "vector_kernels_table.h"

const qwen_pt::VectorKernels& qwen_pt::vectorKernelsAvx512() {
  static const VectorKernels table = makeTable("AVX512");
  return table;
}

// The vector kernels for processors with AVX2 and FMA.

#include "vector_kernels_table.h"

const qwen_pt::VectorKernels& qwen_pt::vectorKernelsAvx2() {
  static const VectorKernels table = makeTable("AVX2");
  return table;
}

// AVX2's vector kernels with the dot products of integers that AVX-VNNI adds. Nothing else is compiled again.

#include "products/integer/integer_tables.h"

const qwen_pt::VectorKernels& qwen_pt::vectorKernelsAvx2Vnni() {
  static const VectorKernels table = [] {
    VectorKernels kernels = vectorKernelsAvx2();
    kernels.capability = "AVX2_VNNI";
    kernels.fixedPoint = fixedPointTable();
    return kernels;
  }();
  return table;
}

// AVX2's vector kernels with AVX-512's dot products of integers, for processors that have no products of bfloat16 beside
// them. Nothing else is compiled again: the full set takes every installation half a minute.

#include "products/integer/integer_tables.h"

const qwen_pt::VectorKernels& qwen_pt::vectorKernelsAvx512Vnni() {
  static const VectorKernels table = [] {
    VectorKernels kernels = vectorKernelsAvx2();
    kernels.capability = "AVX512_VNNI";
    kernels.fixedPoint = fixedPointTable();
    kernels.int8 = int8Table();
    return kernels;
  }();
  return table;
}

// The products of integers of one capability as tables: empty where it has no instructions for them, or not those of
// another. Internal linkage.
#pragma once

#include "fixed_point_rows.h"
#include "fixed_point_vnni_rows.h"
#include "int8_rows.h"
#include "int8_vnni_rows.h"
#include "kernels/capabilities/for_dtype.h"
#include "kernels/vector_kernels.h"

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX2) || (defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__))
void fixedPointMultiply(const FixedPointTask& task) {
  forProductType(task.dtype, [&](auto zero) { fixedMultiply<decltype(zero)>(task); });
}
#endif

#if defined(CPU_CAPABILITY_AVX2)
double fixedPointQuantizeRows(c10::ScalarType dtype, const void* rows, int64_t rowStride, int64_t count, int64_t width,
                              int16_t* to, int64_t stride, float* scales) {
  double most = 0;
  forProductType(dtype, [&](auto zero) {
    most = fixedQuantizeRows(static_cast<const decltype(zero)*>(rows), rowStride, count, width, to, stride, scales);
  });
  return most;
}

float fixedPointQuantizeToken(c10::ScalarType dtype, const void* x, const float* factors, int64_t width, double norm,
                              int16_t* to, int64_t stride) {
  float unit = 0;
  forProductType(dtype, [&](auto zero) {
    unit = fixedQuantizeToken(static_cast<const decltype(zero)*>(x), factors, width, norm, to, stride);
  });
  return unit;
}

FixedPointKernel fixedPointTable() {
  return {fixedPointQuantizeRows, fixedPackColumns, fixedPackDepth, fixedPointQuantizeToken, fixedPointMultiply};
}

#elif defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__)
FixedPointKernel fixedPointTable() {
  FixedPointKernel table = vectorKernelsAvx2().fixedPoint;
  table.multiply = fixedPointMultiply;
  return table;
}
#else
FixedPointKernel fixedPointTable() { return {}; }
#endif

#if defined(CPU_CAPABILITY_AVX2) || (defined(CPU_CAPABILITY_AVX512) && defined(__AVX512VNNI__))
float int8Token(c10::ScalarType dtype, const void* x, const float* factors, int64_t width, uint8_t* to,
                int64_t stride) {
  float unit = 0;
  forProductType(dtype, [&](auto zero) {
    unit = int8QuantizeToken(static_cast<const decltype(zero)*>(x), factors, width, to, stride);
  });
  return unit;
}

void int8MultiplyAny(const Int8Task& task) {
  forProductType(task.dtype, [&](auto zero) { int8Multiply<decltype(zero)>(task); });
}

Int8Kernel int8Table() { return {int8QuantizeRows, int8PackColumns, int8PackDepth, int8Token, int8MultiplyAny}; }
#else
Int8Kernel int8Table() { return {}; }
#endif

}  // namespace
}  // namespace qwen_pt

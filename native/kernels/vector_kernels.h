// The kernels that are compiled once for each kind of processor, and the choice between them at run time.
#pragma once

#include "kernels/attention/attention_kernel.h"
#include "kernels/linear/quantize_kernel.h"
#include "kernels/rows/rows_kernel.h"
#include "products/coded/eight_bit_kernel.h"
#include "products/coded/four_bit_kernel.h"
#include "products/integer/fixed_point_kernel.h"
#include "products/integer/int8_kernel.h"
#include "products/low_rank/low_rank_kernel.h"
#include "products/packed/packed_kernel.h"
#include "products/panels/panel_kernel.h"

namespace qwen_pt {

struct VectorKernels {
  const char* capability;
  AttentionKernel attention;
  NormKernel norm;
  SwigluKernel swiglu;
  CrossEntropyKernel crossEntropy;
  AdamwKernel adamw;
  QuantizeKernel quantize;
  PanelKernel panel;
  LowRankKernel lowRank;
  FourBitKernel fourBit;
  EightBitKernel eightBit;
  /// Empty where the processor has no instructions for it.
  FixedPointKernel fixedPoint;
  /// The same.
  Int8Kernel int8;
  /// The same.
  PackedKernel packed;
};

/// Those for this processor. ATEN_CPU_CAPABILITY (default, avx2, avx512) and ONEDNN_MAX_CPU_ISA lower the choice, as they do
/// libtorch's and oneDNN's own.
const VectorKernels& vectorKernels();

const VectorKernels& vectorKernelsDefault();
#if defined(__x86_64__) || defined(_M_X64)
const VectorKernels& vectorKernelsAvx2();
/// With dot products of integers (AVX-VNNI).
const VectorKernels& vectorKernelsAvx2Vnni();
/// With dot products of bfloat16 and of integers.
const VectorKernels& vectorKernelsAvx512();
/// With those of integers alone.
const VectorKernels& vectorKernelsAvx512Vnni();
#endif

}  // namespace qwen_pt

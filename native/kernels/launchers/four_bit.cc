// Dequantization in one launch, nested scales included.

#include "four_bit.h"

#include "accelerator/kernels.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>

namespace qwen_pt {

using at::Tensor;

namespace {

constexpr int64_t kWidth = 8;  // values of a thread
constexpr unsigned kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

template <typename T>
const T* given(const Tensor& x) {
  return x.defined() ? static_cast<const T*>(x.const_data_ptr()) : nullptr;
}

/// Of two: how many numbers share a scale.
int runPower(int64_t count, int64_t runs) { return std::countr_zero(static_cast<uint64_t>(runLength(count, runs))); }

}  // namespace

bool suitsFusedDequantize(const Tensor& codes, const FourBitState& state, const FourBitRows& of) {
  if (!hasKernels(codes) || kernelSuffix(of.dtype).empty() || kernelSuffix(of.rounded).empty()) return false;
  const int64_t run = runLength(of.rows * of.columns, state.absmax.numel());
  return run % kWidth == 0 && of.first * of.columns % kWidth == 0 && of.count > 0 && isWide(16, {codes});
}

Tensor fusedDequantize(const Tensor& codes, const FourBitState& state, const FourBitRows& of) {
  const int run = runPower(of.rows * of.columns, state.absmax.numel());
  const Tensor out = at::empty({of.count, of.columns}, codes.options().dtype(of.dtype));
  const int64_t runs = state.absmax.numel(), each = kThreads * kWidth;
  const int outerRun = state.nested() ? runPower(runs, state.nestedAbsmax.numel()) : 0;
  const unsigned blocks = static_cast<unsigned>(std::min((out.numel() + each - 1) / each, kMostBlocks));
  launch(codes, "four_bit", "dequantize_4bit_" + kernelSuffix(of.dtype), Grid{blocks, kThreads}, codes.const_data_ptr(),
         given<float>(state.levels), state.nested() ? nullptr : given<float>(state.absmax),
         state.nested() ? given<uint8_t>(state.absmax) : nullptr, given<float>(state.nestedAbsmax),
         given<float>(state.nestedLevels), given<float>(state.offset), outerRun, out.data_ptr(), of.first * of.columns,
         out.numel(), run, kernelKind(of.rounded));
  return out;
}

}  // namespace qwen_pt

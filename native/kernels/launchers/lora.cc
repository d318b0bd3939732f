// Launches lora.cu's kernels. The operator that uses them is kernels/linear/lora_linear.cc's.

#include "lora.h"

#include "accelerator/kernels.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>

namespace qwen_pt {

using at::Tensor;

namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kTall = 32;  // rows of a block's tile; 32 threads abreast, each some columns
constexpr int64_t kMostBlocks = 1 << 20;

int64_t widthOf(at::ScalarType y) { return y == at::kFloat ? 4 : 8; }

/// Same dtypes, or 16 bits beside float.
bool hasPair(at::ScalarType wide, at::ScalarType narrow) {
  return !kernelSuffix(wide).empty() && !kernelSuffix(narrow).empty() && (wide == narrow || wide == at::kFloat);
}

std::string name(const char* kernel, at::ScalarType first, at::ScalarType second, bool isOne) {
  return std::string(kernel) + "_" + kernelSuffix(first) + "_" + kernelSuffix(second) + (isOne ? "_one" : "");
}

const uint8_t* bytes(const Tensor& mask) {
  return mask.defined() ? static_cast<const uint8_t*>(mask.const_data_ptr()) : nullptr;
}

}  // namespace

bool suitsFusedUpdate(const Tensor& y, int64_t ranks, at::ScalarType dtype) {
  return hasKernels(y) && hasPair(y.scalar_type(), dtype) && ranks <= kMostFusedRanks && y.dim() == 2 &&
         y.numel() > 0 && y.is_contiguous() && y.size(1) < (int64_t{1} << 31);
}

void fusedUpdate(const Tensor& y, const Tensor& h, const Tensor& b, double scale, const Tensor& mask) {
  const Tensor left = h.stride(1) == 1 ? h : h.contiguous();
  const bool isOne = !isWide(y.size(1), {y}) || y.size(1) % widthOf(y.scalar_type()) != 0;
  const int64_t columns = 32 * (isOne ? 1 : widthOf(y.scalar_type()));
  const int64_t tiles = (y.size(0) + kTall - 1) / kTall * ((y.size(1) + columns - 1) / columns);
  TORCH_CHECK(tiles < (int64_t{1} << 31), "too large for one launch: ", y.sizes());
  launch(y, "lora", name("lora_update", y.scalar_type(), b.scalar_type(), isOne),
         Grid{static_cast<unsigned>(tiles), kThreads}, y.data_ptr(), left.const_data_ptr(), b.const_data_ptr(),
         bytes(mask), y.size(0), static_cast<int>(y.size(1)), static_cast<int>(b.size(0)), left.stride(0), b.stride(0),
         b.stride(1), static_cast<float>(scale));
}

bool suitsFusedDrop(const Tensor& x, at::ScalarType dtype) {
  return hasKernels(x) && hasPair(x.scalar_type(), dtype) && x.numel() > 0;
}

Tensor fusedDrop(const Tensor& x, const Tensor& mask, double factor, at::ScalarType dtype) {
  const Tensor whole = x.contiguous(), out = at::empty(x.sizes(), x.options().dtype(dtype));
  const int64_t width = widthOf(x.scalar_type());
  const bool isOne = !isWide(width, {whole}) || x.numel() % width != 0;
  const int64_t each = kThreads * (isOne ? 1 : width);
  const auto blocks = static_cast<unsigned>(std::min((x.numel() + each - 1) / each, kMostBlocks));
  launch(x, "lora", name("lora_drop", x.scalar_type(), dtype, isOne), Grid{blocks, kThreads}, whole.const_data_ptr(),
         bytes(mask), out.data_ptr(), x.numel(), static_cast<float>(factor));
  return out;
}

}  // namespace qwen_pt

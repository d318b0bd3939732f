// Launches float8.cu's kernels. What uses them is products/coded/float8.cc.

#include "float8.h"

#include "accelerator/kernels.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>

namespace qwen_pt {

using at::Tensor;

namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kMostParts = 1024;  // of the first kernel; every block of the second reads them all
constexpr int64_t kMostBlocks = 1 << 20;

std::string name(const char* kernel, const Tensor& x, bool isOne) {
  return std::string(kernel) + "_" + kernelSuffix(x.scalar_type()) + (isOne ? "_one" : "");
}

unsigned blocksFor(int64_t count, int64_t width, int64_t most) {
  const int64_t each = kThreads * width;
  return static_cast<unsigned>(std::min((count + each - 1) / each, most));
}

}  // namespace

bool suitsFusedFloat8(const Tensor& x) {
  return hasKernels(x) && x.dim() == 2 && x.numel() > 0 && !kernelSuffix(x.scalar_type()).empty();
}

Float8Matrix fusedFloat8(const Tensor& given, Float8Format format) {
  const Tensor x = given.contiguous();
  const int64_t count = x.numel();
  const bool isOne = !isWide(count, {x});
  const int64_t width = isOne ? 1 : 16 / x.element_size();
  const unsigned parts = blocksFor(count, width, kMostParts);
  const Tensor largest = at::empty({static_cast<int64_t>(parts)}, x.options().dtype(at::kFloat));
  const Tensor unit = at::empty(at::IntArrayRef{}, x.options().dtype(at::kFloat));
  const bool isNarrow = format == Float8Format::e4m3;
  const Tensor codes = at::empty(x.sizes(), x.options().dtype(isNarrow ? at::kFloat8_e4m3fn : at::kFloat8_e5m2));
  launch(x, "float8", name("float8_largest", x, isOne), Grid{parts, kThreads}, x.const_data_ptr(), largest.data_ptr(),
         count);
  const std::string rounding = isNarrow ? "float8_e4m3" : "float8_e5m2";
  launch(x, "float8", name(rounding.c_str(), x, isOne), Grid{blocksFor(count, width, kMostBlocks), kThreads},
         x.const_data_ptr(), largest.const_data_ptr(), static_cast<int>(parts), codes.data_ptr(), unit.data_ptr(),
         count);
  return {codes, unit};
}

}  // namespace qwen_pt

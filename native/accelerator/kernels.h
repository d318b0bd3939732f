// The fused kernels of native/kernels/cuda, launched on a tensor's device: a card's driver runs what NVRTC compiled at
// first use and the cache has kept; meta counts; the processor has them only where a test has loaded an emulator.
//
// Where they are not available (no NVRTC, no driver, a card older than 7.5) operators go by ATen alone, and the reason is
// kept for whoever asks.
#pragma once

#include "binding/instance.h"
#include "driver.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace qwen_pt {

/// Whether kernels run where a tensor is. QWEN_PT_FUSED=0 says no everywhere.
bool hasKernels(const at::Tensor& where);

/// "f32", "bf16" or "f16": how kernels' names say what they take; empty for any other dtype.
std::string kernelSuffix(at::ScalarType dtype);

/// What a kernel's argument says of an operand's dtype (numbers.cuh: Kind).
int kernelKind(at::ScalarType dtype);

/// Launches a kernel of a source: launchKernel(x, "norm", "rms_norm_forward_f32_f32", grid, arguments).
void launchKernel(const at::Tensor& where, const char* source, const std::string& name, const Grid& grid,
                  void** arguments);

/// The same; arguments as the kernel declares them: pointers, int, int64_t, float.
template <typename... A>
void launch(const at::Tensor& where, const char* source, const std::string& name, const Grid& grid, A... arguments) {
  void* list[] = {static_cast<void*>(&arguments)...};
  launchKernel(where, source, name, grid, list);
}

/// Whether rows of a width, or runs of a count, can be read 16 bytes at a time.
bool isWide(int64_t width, std::initializer_list<at::Tensor> operands);

void defineKernels(napi_env env, napi_value exports, Instance& instance);

}  // namespace qwen_pt

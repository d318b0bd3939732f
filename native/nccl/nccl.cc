// NCCL between the cards of several processes: libtorch's c10d::ProcessGroupNCCL behind the C functions of
// distributed/cards/interface.h. A separate library (scripts/nccl.mjs), because that header of libtorch's needs
// CUDA's and NCCL's, which the addons do without; lib/distributed opens it where a run computes on GPUs.

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <torch/headeronly/version.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "distributed/cards/interface.h"

#define QWEN_PT_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using qwen_pt::kMostText;

/// 0, or 1 with the reason in `error`.
template <typename Body>
int guarded(char* error, Body body) {
  try {
    body();
    return 0;
  } catch (const c10::Error& thrown) {
    std::snprintf(error, kMostText, "%s", thrown.what_without_backtrace());
  } catch (const std::exception& thrown) {
    std::snprintf(error, kMostText, "%s", thrown.what());
  }
  return 1;
}

/// What ProcessGroupNCCL would do about a fault by itself, it ends the process with a signal: here the heartbeat of the
/// ranks decides, and the fault of a collective is told to whoever waits for it. What the user has set stays.
void leaveFaultsToHeartbeat() {
  constexpr std::pair<const char*, const char*> kSettings[] = {
      {"TORCH_NCCL_ASYNC_ERROR_HANDLING", "0"},
      {"TORCH_NCCL_ENABLE_MONITORING", "0"},
      {"TORCH_NCCL_RETHROW_CUDA_ERRORS", "0"},
      {"TORCH_NCCL_DUMP_ON_TIMEOUT", "0"},
  };
  for (const auto& [name, value] : kSettings) setenv(name, value, /*overwrite=*/0);
}

}  // namespace

QWEN_PT_EXPORT const char* qwen_pt_backend_libtorch() { return TORCH_VERSION; }

QWEN_PT_EXPORT const char* qwen_pt_backend_device() { return "cuda"; }

/// The card's UUID, which a part of a card (MIG) has too, as nvidia-smi writes it.
QWEN_PT_EXPORT int qwen_pt_backend_card(int index, char* card, char* error) {
  return guarded(error, [&] {
    if (index >= c10::cuda::device_count()) throw std::runtime_error("its process sees none");
    const auto* found = at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(index));
    int at = std::snprintf(card, kMostText, "GPU-");
    for (int byte = 0; byte < 16; ++byte) {
      const char* dash = byte == 4 || byte == 6 || byte == 8 || byte == 10 ? "-" : "";
      at +=
          std::snprintf(card + at, kMostText - at, "%s%02x", dash, static_cast<unsigned char>(found->uuid.bytes[byte]));
    }
  });
}

QWEN_PT_EXPORT int qwen_pt_backend_open(const qwen_pt::BackendRequest* request, void* made, char* error) {
  return guarded(error, [&] {
    leaveFaultsToHeartbeat();
    const at::Device device("cuda:" + std::to_string(request->card));
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(request->timeoutMs);
    const auto& store = *static_cast<const c10::intrusive_ptr<c10d::Store>*>(request->store);
    auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, request->rank, request->size, std::move(options));
    group->setBoundDeviceId(device);
    group->eagerConnectSingleDevice(device);  // what keeps the ranks from each other is said now, not at the first step
    *static_cast<c10::intrusive_ptr<c10d::Backend>*>(made) = std::move(group);
  });
}

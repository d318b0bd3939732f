// What a library that moves a device's tensors between processes exports (native/nccl), for the addon that opens it by
// name. C functions, each of which gives 0, or 1 with the reason in `error`:
//
//   const char* qwen_pt_backend_libtorch()   the version of libtorch that it was compiled for: c10d's objects pass between
//                                            the two, and must be laid out alike
//   const char* qwen_pt_backend_device()     the type of the devices whose tensors it moves: "cuda"
//   int qwen_pt_backend_card(int index, char* card, char* error)   what tells that card from every other one
//   int qwen_pt_backend_open(const BackendRequest*, void* made, char* error)   a group of all ranks, connected, in an empty
//                                            c10::intrusive_ptr<c10d::Backend>
#pragma once

#include <cstdint>

namespace qwen_pt {

struct BackendRequest {
  const void* store = nullptr;  // c10::intrusive_ptr<c10d::Store>: a separate room of it
  int rank = 0;
  int size = 1;
  int64_t timeoutMs = 0;
  int card = 0;
};

constexpr int kMostText = 512;  // bytes of `card` and of `error`

}  // namespace qwen_pt

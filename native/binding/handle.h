// What stands behind an External in JavaScript: one reference to a tensor. For who frees it, and when, see instance.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace qwen_pt {

struct Instance;

// The first word of everything that is handed to JavaScript as an External, so that a generator is never taken
// for a tensor.
enum class HandleKind : uint32_t {
  Tensor = 0x7e50a001,
  Generator = 0x7e50a002,
  File = 0x7e50a003,
  Stream = 0x7e50a004,
  Event = 0x7e50a005,
  Graph = 0x7e50a006,
};

// One JavaScript-visible reference to a tensor. Disposing drops the reference only: autograd and other handles
// keep what they need. Linked into its scope (or into the instance's list of unscoped handles).
struct Handle {
  HandleKind kind = HandleKind::Tensor;
  at::Tensor tensor;
  Instance* instance = nullptr;
  Handle* previous = nullptr;
  Handle* next = nullptr;
  int64_t reportedBytes = 0;  // what V8 was told of, for handles that only the collector owns
  int32_t scope = -1;         // index into Instance::scopes; -1: none
};

}  // namespace qwen_pt

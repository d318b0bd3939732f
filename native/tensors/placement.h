// Where a tensor's numbers are. The only place in native/ that asks, beside device.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// The processor's: its memory can be read at once.
inline bool isOnHost(const at::Tensor& tensor) { return tensor.is_cpu(); }
/// A tensor on meta has a shape and no memory.
inline bool hasMemory(const at::Tensor& tensor) { return !tensor.is_meta(); }

}  // namespace qwen_pt

#pragma once

#include "instance.h"

namespace qwen_pt {
/// The processor's: its memory can be read at once.
inline bool isOnHost(const at::Tensor& tensor) { return tensor.is_cpu(); }
/// A tensor on meta has a shape and no memory.
inline bool hasMemory(const at::Tensor& tensor) { return !tensor.is_meta(); }
void loadAccelerators();
void defineDevice(napi_env env, napi_value exports, Instance& instance);
}

#pragma once

#include "binding/instance.h"

namespace qwen_pt {
void defineTransfers(napi_env env, napi_value exports, Instance& instance);
}  // namespace qwen_pt

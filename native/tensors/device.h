#pragma once

#include "binding/instance.h"
#include "placement.h"

namespace qwen_pt {
void defineDevice(napi_env env, napi_value exports, Instance& instance);
}  // namespace qwen_pt

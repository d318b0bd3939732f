#pragma once

#include "binding/instance.h"

namespace qwen_pt {
void defineTensor(napi_env env, napi_value exports, Instance& instance);
}

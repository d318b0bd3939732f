#pragma once

#include "instance.h"

namespace qwen_pt {
void defineDispatch(napi_env env, napi_value exports, Instance& instance);
}

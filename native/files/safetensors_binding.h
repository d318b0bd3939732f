// What JavaScript sees of safetensors files: open, one tensor of a file, write. The format itself is safetensors.h.
#pragma once

#include <node_api.h>

namespace qwen_pt {

struct Instance;

void defineSafetensors(napi_env env, napi_value exports, Instance& instance);

}  // namespace qwen_pt

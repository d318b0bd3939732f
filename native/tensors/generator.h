// Random number generators: libtorch's default one for each device, and independent ones by seed.
#pragma once

#include <ATen/core/Generator.h>

#include "binding/instance.h"

namespace qwen_pt {
at::Generator generatorOf(napi_env env, napi_value value, const std::string& what);
void defineGenerator(napi_env env, napi_value exports, Instance& instance);
}  // namespace qwen_pt

// Graphs of a device's work, recorded and replayed by an optional library (native/cuda_graph).
#pragma once

#include "binding/instance.h"

namespace qwen_pt {
void defineGraphs(napi_env env, napi_value exports, Instance& instance);
}  // namespace qwen_pt

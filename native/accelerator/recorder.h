// How many kernels, uploads and waits something asks of a device: counted by libtorch's own hook, on any device, meta
// included, where nothing is computed. For tests and measurements; nothing is counted otherwise.
//
// A launch is an operator call that neither makes a view nor only takes memory, and that leads to no other such call.
// That is a bound from below: some of libtorch's operators launch two or three kernels.
#pragma once

#include "binding/instance.h"

namespace qwen_pt {

/// Counts a kernel of ours under its name, in place of the operator that launches it.
void countLaunch(const char* kernel);

void defineRecorder(napi_env env, napi_value exports, Instance& instance);

}  // namespace qwen_pt

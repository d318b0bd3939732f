// JavaScript values to C++ ones and back: numbers, strings, arrays, shapes. For what an operator's schema asks for see
// operator.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "node_api_experimental.h"

namespace qwen_pt {

struct Instance;

napi_value undefined(napi_env env);
napi_value toJs(napi_env env, bool value);
napi_value toJs(napi_env env, int64_t value);
napi_value toJs(napi_env env, double value);
napi_value toJs(napi_env env, const std::string& value);
std::string toString(napi_env env, napi_value value, const char* what);
int64_t toInteger(napi_env env, napi_value value, const char* what);
double toDouble(napi_env env, napi_value value, const char* what);
bool toBool(napi_env env, napi_value value, const char* what);
bool isNullish(napi_env env, napi_value value);
std::vector<napi_value> toArray(napi_env env, napi_value value, const char* what);
std::vector<int64_t> toShape(napi_env env, napi_value value, const char* what);
std::vector<at::Tensor> toTensors(Instance& instance, napi_value value, const char* what);

}  // namespace qwen_pt

#include "conversions.h"

#include <cmath>

#include "instance.h"

namespace qwen_pt {

napi_value undefined(napi_env env) {
  napi_value value;
  check(env, napi_get_undefined(env, &value));
  return value;
}

napi_value toJs(napi_env env, bool value) {
  napi_value result;
  check(env, napi_get_boolean(env, value, &result));
  return result;
}

napi_value toJs(napi_env env, int64_t value) {
  napi_value result;
  constexpr int64_t kSafe = int64_t{1} << 53;
  if (value <= kSafe && value >= -kSafe) check(env, napi_create_double(env, static_cast<double>(value), &result));
  else check(env, napi_create_bigint_int64(env, value, &result));
  return result;
}

napi_value toJs(napi_env env, double value) {
  napi_value result;
  check(env, napi_create_double(env, value, &result));
  return result;
}

napi_value toJs(napi_env env, const std::string& value) {
  napi_value result;
  check(env, napi_create_string_utf8(env, value.data(), value.size(), &result));
  return result;
}

bool isNullish(napi_env env, napi_value value) {
  napi_valuetype type;
  check(env, napi_typeof(env, value, &type));
  return type == napi_undefined || type == napi_null;
}

std::string toString(napi_env env, napi_value value, const char* what) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    throw CodedError("ERR_ARGUMENT", std::string(what) + " must be a string");
  }
  std::string text(length, '\0');
  check(env, napi_get_value_string_utf8(env, value, text.data(), length + 1, &length));
  return text;
}

int64_t toInteger(napi_env env, napi_value value, const char* what) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    if (number != std::trunc(number) || std::abs(number) > 9007199254740992.0) {
      throw CodedError("ERR_ARGUMENT", std::string(what) + " must be an integer");
    }
    return static_cast<int64_t>(number);
  }
  int64_t big = 0;
  bool lossless = false;
  if (napi_get_value_bigint_int64(env, value, &big, &lossless) == napi_ok && lossless) return big;
  throw CodedError("ERR_ARGUMENT", std::string(what) + " must be an integer");
}

double toDouble(napi_env env, napi_value value, const char* what) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    throw CodedError("ERR_ARGUMENT", std::string(what) + " must be a number");
  }
  return number;
}

bool toBool(napi_env env, napi_value value, const char* what) {
  bool flag = false;
  if (napi_get_value_bool(env, value, &flag) != napi_ok) {
    throw CodedError("ERR_ARGUMENT", std::string(what) + " must be true or false");
  }
  return flag;
}

std::vector<napi_value> toArray(napi_env env, napi_value value, const char* what) {
  uint32_t length = 0;
  if (napi_get_array_length(env, value, &length) != napi_ok) {
    throw CodedError("ERR_ARGUMENT", std::string(what) + " must be an array");
  }
  std::vector<napi_value> items(length);
  for (uint32_t i = 0; i < length; ++i) check(env, napi_get_element(env, value, i, &items[i]));
  return items;
}

std::vector<int64_t> toShape(napi_env env, napi_value value, const char* what) {
  std::vector<int64_t> shape;
  for (napi_value item : toArray(env, value, what)) shape.push_back(toInteger(env, item, what));
  return shape;
}

std::vector<at::Tensor> toTensors(Instance& instance, napi_value value, const char* what) {
  std::vector<at::Tensor> tensors;
  for (napi_value item : toArray(instance.env, value, what)) tensors.push_back(instance.tensor(item, what));
  return tensors;
}

}  // namespace qwen_pt

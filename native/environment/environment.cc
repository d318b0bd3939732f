// A separate module that knows nothing of libtorch: it sets variables where C reads them. OpenMP's runtime reads its
// settings when it is loaded, which is before a line of an addon that links it runs; and in a worker thread of Node,
// process.env is a copy that C never sees. lib/torch/native.ts loads this first. Linux only.
#include <node_api.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace {

std::atomic<bool> alreadySet{false};

bool textOf(napi_env env, napi_value value, std::string& text) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return false;
  text.resize(length);
  return napi_get_value_string_utf8(env, value, text.data(), length + 1, &length) == napi_ok;
}

// setVariables(name, value, name, value, ...): once in a process. Later calls, from other threads, do nothing: the
// runtime has read its settings by then, and changing an environment beside other threads is not safe.
napi_value setVariables(napi_env env, napi_callback_info info) {
  constexpr size_t kMost = 16;
  size_t count = kMost;
  napi_value values[kMost];
  if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok || alreadySet.exchange(true))
    return nullptr;
  for (size_t i = 0; i + 1 < count && i + 1 < kMost; i += 2) {
    std::string name, value;
    if (textOf(env, values[i], name) && textOf(env, values[i + 1], value))
      setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  }
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function;
  if (napi_create_function(env, "setVariables", NAPI_AUTO_LENGTH, setVariables, nullptr, &function) != napi_ok)
    return nullptr;
  if (napi_set_named_property(env, exports, "setVariables", function) != napi_ok) return nullptr;
  return exports;
}

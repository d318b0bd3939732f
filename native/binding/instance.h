// What one JavaScript environment (the main thread, or one worker) owns: its tensor handles, its scopes, its
// operator table; and how a function of the addon is exported. Holds no process-wide tensors and no static JavaScript
// references, so the addon loads in any number of workers and exits clean.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "conversions.h"
#include "errors.h"
#include "handle.h"
#include "lease.h"
#include "node_api_experimental.h"

namespace qwen_pt {

struct Scope {
  Handle* first = nullptr;
  uint64_t id = 0;
  bool abandoned = false;  // closed out of order: ends with the scope above it
};

struct Operator;  // operator.h

struct Instance {
  explicit Instance(napi_env environment);
  ~Instance();

  napi_env env;
  bool closing = false;
  std::vector<Scope> scopes;
  Handle* unscoped = nullptr;
  uint64_t nextScopeId = 1;
  int64_t liveHandles = 0;   // Externals that the collector has not finalised yet
  int64_t liveTensors = 0;   // handles that still hold a tensor
  int64_t pendingBytes = 0;  // not yet told to V8
  int64_t toldBytes = 0;     // of all handles: their reportedBytes
  std::vector<std::unique_ptr<Operator>> operators;

  // JavaScript value <-> tensor.
  napi_value wrap(at::Tensor tensor);
  static Handle* tryHandle(napi_env env, napi_value value);
  Handle& handle(napi_value value, const char* what);
  at::Tensor& tensor(napi_value value, const char* what);

  void release(Handle& handle);  // drop the tensor, keep the (empty) handle
  void link(Handle& handle, int32_t scope);
  void unlink(Handle& handle);
  void report(Handle& handle);  // tell V8 about the bytes that only the collector will free
  void adjust(int64_t bytes);
};

// Exports one function of the addon; `Function` is napi_value(napi_env, Arguments&).
struct Arguments {
  static constexpr size_t kMost = 40;
  size_t count = kMost;
  napi_value values[kMost];
  napi_value operator[](size_t index) const { return values[index]; }
};

template <napi_value (*Function)(napi_env, Instance&, const Arguments&)>
napi_value entry(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    Arguments arguments;
    void* data = nullptr;
    check(env, napi_get_cb_info(env, info, &arguments.count, arguments.values, nullptr, &data));
    if (arguments.count > Arguments::kMost) throw CodedError("ERR_ARGUMENT", "more than 40 arguments");
    return Function(env, *static_cast<Instance*>(data), arguments);
  });
}

template <napi_value (*Function)(napi_env, Instance&, const Arguments&)>
void define(napi_env env, napi_value exports, Instance& instance, const char* name) {
  napi_value function;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, entry<Function>, &instance, &function));
  check(env, napi_set_named_property(env, exports, name, function));
}

}  // namespace qwen_pt

// What one JavaScript environment (the main thread, or one worker) owns: its tensor handles, its scopes, its
// operator table; and the lease that lets one thread at a time drive libtorch. Holds no process-wide tensors and
// no static JavaScript references, so the addon loads in any number of workers and exits clean.
#pragma once

// Finalizers that run inside the collection itself (instead of after it, which a busy loop never reaches) are an
// experimental part of Node-API.
#ifndef NAPI_EXPERIMENTAL
#define NAPI_EXPERIMENTAL
#endif
#include <ATen/core/Tensor.h>
#include <node_api.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qwen_pt {

struct Instance;

// The first word of everything that is handed to JavaScript as an External, so that a generator is never taken
// for a tensor.
enum class HandleKind : uint32_t { Tensor = 0x7e50a001, Generator = 0x7e50a002, File = 0x7e50a003 };

// One JavaScript-visible reference to a tensor. Disposing drops the reference only: autograd and other handles
// keep what they need. Linked into its scope (or into the instance's list of unscoped handles).
struct Handle {
  HandleKind kind = HandleKind::Tensor;
  at::Tensor tensor;
  Instance* instance = nullptr;
  Handle* previous = nullptr;
  Handle* next = nullptr;
  int64_t reportedBytes = 0;  // what V8 was told of, for handles that only the collector owns
  int32_t scope = -1;         // index into Instance::scopes; -1: none
};

struct Scope {
  Handle* first = nullptr;
  uint64_t id = 0;
  bool abandoned = false;  // closed out of order: ends with the scope above it
};

struct Operator;  // dispatch.cc

struct Instance {
  explicit Instance(napi_env environment);
  ~Instance();

  napi_env env;
  bool closing = false;
  std::vector<Scope> scopes;
  Handle* unscoped = nullptr;
  uint64_t nextScopeId = 1;
  int64_t liveHandles = 0;      // Externals that the collector has not finalised yet
  int64_t liveTensors = 0;      // handles that still hold a tensor
  int64_t pendingBytes = 0;     // not yet told to V8
  int64_t toldBytes = 0;        // of all handles: their reportedBytes
  std::vector<std::unique_ptr<Operator>> operators;

  // JavaScript value <-> tensor.
  napi_value wrap(at::Tensor tensor);
  static Handle* tryHandle(napi_env env, napi_value value);
  Handle& handle(napi_value value, const char* what);
  at::Tensor& tensor(napi_value value, const char* what);

  void release(Handle& handle);          // drop the tensor, keep the (empty) handle
  void link(Handle& handle, int32_t scope);
  void unlink(Handle& handle);
  void report(Handle& handle);           // tell V8 about the bytes that only the collector will free
  void adjust(int64_t bytes);
};

// One thread at a time drives libtorch: a second would bring a second OpenMP team and another grad mode.
// A call takes the lease for its own duration; a training run holds it from start to end.
class Lease {
 public:
  explicit Lease(Instance& instance);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  static void hold(Instance& instance);
  static void letGo(Instance& instance);
  static bool heldByAnother(const Instance& instance);

 private:
  bool taken_;
};

// An error with a code that lib/torch/errors.ts turns into a class of its own.
struct CodedError : std::exception {
  CodedError(const char* errorCode, std::string text) : code(errorCode), message(std::move(text)) {}
  const char* what() const noexcept override { return message.c_str(); }
  const char* code;
  std::string message;
};

// Turns the exception in flight into a pending JavaScript exception. The only place where C++ exceptions end.
void throwPending(napi_env env) noexcept;

// Runs `body` and lets no C++ exception pass.
template <class Body>
napi_value guard(napi_env env, Body&& body) noexcept {
  try {
    return body();
  } catch (...) {
    throwPending(env);
    return nullptr;
  }
}

inline void check(napi_env env, napi_status status) {
  if (status != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    throw CodedError("ERR_NAPI", pending ? "a JavaScript exception is pending" : "a Node-API call failed");
  }
}

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

// Small conversions that every file needs.
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

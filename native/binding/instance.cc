#include "instance.h"

#include "operator.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "tensors/device.h"
#include "files/mapped_tensor.h"

namespace qwen_pt {

namespace {

// Told to V8 in steps: each call can trigger a collection, and small tensors are many.
constexpr int64_t kReportStep = 1 << 20;
// V8 collects when what it was told of has grown by 64 MB. Where much lives that is too often, so of a new tensor's bytes
// it is told the less, the more it was told of before: garbage may come to a quarter of that, above 256 MB.
constexpr double kCollectAt = 64 << 20;
constexpr double kGarbage = 4;

std::atomic<Instance*> leaseOwner{nullptr};

void finalizeHandle(node_api_basic_env, void* data, void*) {
  auto* handle = static_cast<Handle*>(data);
  Instance* instance = handle->instance;
  instance->release(*handle);
  delete handle;
  if (--instance->liveHandles == 0 && instance->closing) delete instance;
}

// Runs before the finalizers of the environment: frees every tensor, while libtorch is certainly still there.
void cleanUp(void* data) {
  auto* instance = static_cast<Instance*>(data);
  instance->closing = true;
  Lease::letGo(*instance);
  for (auto& scope : instance->scopes) {
    while (scope.first) instance->release(*scope.first);
  }
  while (instance->unscoped) instance->release(*instance->unscoped);
  if (instance->liveHandles == 0) delete instance;
}

}  // namespace

Instance::Instance(napi_env environment) : env(environment) {
  check(env, napi_add_env_cleanup_hook(env, cleanUp, this));
}

void Instance::link(Handle& handle, int32_t scope) {
  Handle*& first = scope < 0 ? unscoped : scopes[scope].first;
  handle.scope = scope;
  handle.previous = nullptr;
  handle.next = first;
  if (first) first->previous = &handle;
  first = &handle;
}

void Instance::unlink(Handle& handle) {
  Handle*& first = handle.scope < 0 ? unscoped : scopes[handle.scope].first;
  if (handle.previous) handle.previous->next = handle.next;
  else if (first == &handle) first = handle.next;
  if (handle.next) handle.next->previous = handle.previous;
  handle.previous = handle.next = nullptr;
}

void Instance::adjust(int64_t bytes) {
  pendingBytes += bytes;
  if (closing || std::abs(pendingBytes) < kReportStep) return;
  // Taken first: V8 may collect before the call returns, and the finalizers come back here.
  const int64_t told = std::exchange(pendingBytes, 0);
  int64_t total = 0;
  napi_adjust_external_memory(env, told, &total);
}

void Instance::report(Handle& handle) {
  if (!handle.tensor.defined() || !handle.tensor.has_storage()) return;
  const auto& storage = handle.tensor.storage();
  if (storage.use_count() > 2) return;  // a view: its storage is counted where it was made
  if (isMapped(storage)) return;         // a file's pages, which the kernel takes back by itself
  if (!hasMemory(handle.tensor)) return;
  const auto bytes = static_cast<double>(storage.nbytes());
  const double share = kCollectAt / std::max(kCollectAt, static_cast<double>(toldBytes) / kGarbage);
  handle.reportedBytes = static_cast<int64_t>(bytes * share);
  toldBytes += handle.reportedBytes;
  adjust(handle.reportedBytes);
}

void Instance::release(Handle& handle) {
  if (handle.reportedBytes) {
    toldBytes -= handle.reportedBytes;
    adjust(-handle.reportedBytes);
    handle.reportedBytes = 0;
  }
  if (handle.tensor.defined()) {
    unlink(handle);
    --liveTensors;
    handle.tensor.reset();
  }
}

napi_value Instance::wrap(at::Tensor tensor) {
  auto* handle = new Handle;
  handle->tensor = std::move(tensor);
  handle->instance = this;
  napi_value external;
  if (napi_create_external(env, handle, finalizeHandle, nullptr, &external) != napi_ok) {
    delete handle;
    throw CodedError("ERR_NAPI", "cannot create a tensor handle");
  }
  ++liveHandles;
  ++liveTensors;
  const auto scope = static_cast<int32_t>(scopes.size()) - 1;
  link(*handle, scope);
  if (scope < 0) report(*handle);
  return external;
}

Handle* Instance::tryHandle(napi_env env, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok || !data) return nullptr;
  auto* handle = static_cast<Handle*>(data);
  return handle->kind == HandleKind::Tensor ? handle : nullptr;
}

Handle& Instance::handle(napi_value value, const char* what) {
  Handle* handle = tryHandle(env, value);
  if (!handle) throw CodedError("ERR_ARGUMENT", std::string(what) + " must be a Tensor");
  return *handle;
}

at::Tensor& Instance::tensor(napi_value value, const char* what) {
  Handle& found = handle(value, what);
  if (!found.tensor.defined()) {
    throw CodedError("ERR_DISPOSED", std::string(what) + " was used after it was disposed of, or after its scope closed");
  }
  return found.tensor;
}

Instance::~Instance() = default;

// ---- lease

Lease::Lease(Instance& instance) : taken_(false) {
  Instance* expected = nullptr;
  if (leaseOwner.load(std::memory_order_relaxed) == &instance) return;
  if (!leaseOwner.compare_exchange_strong(expected, &instance)) {
    throw CodedError("ERR_LEASE",
                     "libtorch is in use by another thread (a train() that is still running?); "
                     "wait for it to end, or compute in the same thread");
  }
  taken_ = true;
}

Lease::~Lease() {
  if (taken_) leaseOwner.store(nullptr);
}

void Lease::hold(Instance& instance) {
  Lease lease(instance);  // throws where another thread has it
  lease.taken_ = false;
  leaseOwner.store(&instance);
}

void Lease::letGo(Instance& instance) {
  Instance* expected = &instance;
  leaseOwner.compare_exchange_strong(expected, nullptr);
}

bool Lease::heldByAnother(const Instance& instance) {
  Instance* owner = leaseOwner.load();
  return owner && owner != &instance;
}

// ---- errors

void throwPending(napi_env env) noexcept {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) return;
  const char* debug = std::getenv("QWEN_PT_DEBUG");
  const bool verbose = debug && *debug && *debug != '0';
  const char* code = "ERR_TORCH";
  std::string message;
  try {
    throw;
  } catch (const CodedError& error) {
    code = error.code;
    message = error.message;
  } catch (const c10::OutOfMemoryError& error) {
    code = "ERR_OUT_OF_MEMORY";
    message = error.what_without_backtrace();
  } catch (const c10::NotImplementedError& error) {
    code = "ERR_NOT_IMPLEMENTED";
    message = verbose ? error.what() : error.what_without_backtrace();
  } catch (const c10::IndexError& error) {
    code = "ERR_INDEX";
    message = verbose ? error.what() : error.what_without_backtrace();
  } catch (const c10::Error& error) {
    message = verbose ? error.what() : error.what_without_backtrace();
    if (message.find("can't allocate memory") != std::string::npos) code = "ERR_OUT_OF_MEMORY";
  } catch (const std::bad_alloc&) {
    code = "ERR_OUT_OF_MEMORY";
    message = "out of memory";
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an unknown C++ exception";
  }
  napi_throw_error(env, code, message.c_str());
}

// ---- conversions

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

#include "instance.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "files/mapped_tensor.h"
#include "operator.h"
#include "tensors/device.h"

namespace qwen_pt {

namespace {

// Told to V8 in steps: each call can trigger a collection, and small tensors are many.
constexpr int64_t kReportStep = 1 << 20;
// V8 collects when what it was told of has grown by 64 MB. Where much lives that is too often, so of a new tensor's bytes
// it is told the less, the more it was told of before: garbage may reach a quarter of that, above 256 MB.
constexpr double kCollectAt = 64 << 20;
constexpr double kGarbage = 4;

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
  if (isMapped(storage)) return;        // a file's pages, which the kernel takes back by itself
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
    throw CodedError("ERR_DISPOSED",
                     std::string(what) + " was used after it was disposed of, or after its scope closed");
  }
  return found.tensor;
}

Instance::~Instance() = default;

}  // namespace qwen_pt

// The module's entry: the whole list of what JavaScript sees.
#include <napi.h>
#include "binding/instance.h"

#include <mutex>

#include "accelerator/graphs.h"
#include "accelerator/kernels.h"
#include "accelerator/libraries.h"
#include "accelerator/recorder.h"
#include "binding/dispatch.h"
#include "files/safetensors_binding.h"
#include "products/narrow_products.h"
#include "tensors/autograd.h"
#include "tensors/device.h"
#include "tensors/generator.h"
#include "tensors/host_allocator.h"
#include "tensors/tensor.h"
#include "tensors/transfers.h"

namespace {

// Called once for each environment that loads the addon. The instance frees itself when its environment ends.
void fill(Napi::Env env, Napi::Object exports) {
  static std::once_flag once;
  std::call_once(once, [] {
    qwen_pt::installHostAllocator();
    qwen_pt::loadAccelerators();
    qwen_pt::installNarrowProducts();
  });
  auto* instance = new qwen_pt::Instance(env);
  qwen_pt::defineDispatch(env, exports, *instance);
  qwen_pt::defineTensor(env, exports, *instance);
  qwen_pt::defineAutograd(env, exports, *instance);
  qwen_pt::defineGenerator(env, exports, *instance);
  qwen_pt::defineDevice(env, exports, *instance);
  qwen_pt::defineRecorder(env, exports, *instance);
  qwen_pt::defineKernels(env, exports, *instance);
  qwen_pt::defineGraphs(env, exports, *instance);
  qwen_pt::defineTransfers(env, exports, *instance);
  qwen_pt::defineSafetensors(env, exports, *instance);
}

// A worker that is ended while it loads the addon refuses every call: an exception that left here would end the process.
Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  qwen_pt::guard(env, [&]() -> napi_value {
    fill(env, exports);
    return nullptr;
  });
  return exports;
}

}  // namespace

// What the module reports as its version. Node runs the finalizers of an "experimental" module inside the collection;
// those of any other wait for the event loop, and a synchronous loop would free nothing that it forgot.
#undef NAPI_VERSION
#define NAPI_VERSION NAPI_VERSION_EXPERIMENTAL

NODE_API_MODULE(qwen_pt, initialize)

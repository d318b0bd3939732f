// The module's entry: the whole list of what JavaScript sees.
#include "instance.h"
#include <napi.h>

#include <mutex>

#include "autograd.h"
#include "device.h"
#include "dispatch.h"
#include "generator.h"
#include "safetensors_binding.h"
#include "tensor.h"

namespace {

// Called once for each environment that loads the addon. The instance frees itself when its environment ends.
Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  static std::once_flag once;
  std::call_once(once, qwen_pt::loadAccelerators);
  auto* instance = new qwen_pt::Instance(env);
  qwen_pt::defineDispatch(env, exports, *instance);
  qwen_pt::defineTensor(env, exports, *instance);
  qwen_pt::defineAutograd(env, exports, *instance);
  qwen_pt::defineGenerator(env, exports, *instance);
  qwen_pt::defineDevice(env, exports, *instance);
  qwen_pt::defineSafetensors(env, exports, *instance);
  return exports;
}

}  // namespace

NODE_API_MODULE(qwen_pt, initialize)

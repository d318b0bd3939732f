#include "generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <mutex>

#include "dtype.h"

namespace qwen_pt {

namespace {

struct GeneratorHandle {
  HandleKind kind = HandleKind::Generator;
  at::Generator generator;
};

void finalizeGenerator(node_api_basic_env, void* data, void*) { delete static_cast<GeneratorHandle*>(data); }

// The default generator of a device, or the one that was handed in.
at::Generator pick(napi_env env, napi_value value) {
  napi_valuetype type;
  check(env, napi_typeof(env, value, &type));
  if (type == napi_external) return generatorOf(env, value, "generator");
  const at::Device device = type == napi_string ? deviceOf(toString(env, value, "device")) : at::Device(at::kCPU);
  return at::globalContext().defaultGenerator(device);
}

// manualSeed(seed): every device's default generator, as torch.manual_seed does.
napi_value manualSeed(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  at::manual_seed(static_cast<uint64_t>(toInteger(env, args[0], "seed")));
  return undefined(env);
}

napi_value createGenerator(napi_env env, Instance&, const Arguments& args) {
  auto* handle = new GeneratorHandle;
  handle->generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(toInteger(env, args[0], "seed")));
  napi_value external;
  check(env, napi_create_external(env, handle, finalizeGenerator, nullptr, &external));
  return external;
}

// getRngState(device or generator) -> uint8 tensor
napi_value getRngState(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  at::Generator generator = pick(env, args[0]);
  std::lock_guard<std::mutex> lock(generator.mutex());
  return instance.wrap(generator.get_state());
}

napi_value setRngState(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  at::Generator generator = pick(env, args[1]);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(instance.tensor(args[0], "the random state"));
  return undefined(env);
}

}  // namespace

at::Generator generatorOf(napi_env env, napi_value value, const std::string& what) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) == napi_ok && data) {
    auto* handle = static_cast<GeneratorHandle*>(data);
    if (handle->kind == HandleKind::Generator) return handle->generator;
  }
  throw CodedError("ERR_ARGUMENT", "argument '" + what + "' must be a Generator");
}

void defineGenerator(napi_env env, napi_value exports, Instance& instance) {
  define<manualSeed>(env, exports, instance, "manualSeed");
  define<createGenerator>(env, exports, instance, "createGenerator");
  define<getRngState>(env, exports, instance, "getRngState");
  define<setRngState>(env, exports, instance, "setRngState");
}

}  // namespace qwen_pt

#include "generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <mutex>

#include "binding/external.h"
#include "dtype.h"

namespace qwen_pt {

namespace {

using GeneratorHandle = External<at::Generator, HandleKind::Generator>;

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
  const auto seed = static_cast<uint64_t>(toInteger(env, args[0], "seed"));
  return GeneratorHandle::hold(env, at::make_generator<at::CPUGeneratorImpl>(seed));
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
  if (const at::Generator* generator = GeneratorHandle::find(env, value)) return *generator;
  throw CodedError("ERR_ARGUMENT", "argument '" + what + "' must be a Generator");
}

void defineGenerator(napi_env env, napi_value exports, Instance& instance) {
  define<manualSeed>(env, exports, instance, "manualSeed");
  define<createGenerator>(env, exports, instance, "createGenerator");
  define<getRngState>(env, exports, instance, "getRngState");
  define<setRngState>(env, exports, instance, "setRngState");
}

}  // namespace qwen_pt

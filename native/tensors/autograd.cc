// Backward passes, grad mode and autocast. No JavaScript is ever called from inside a backward pass.
#include "autograd.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "dtype.h"

namespace qwen_pt {

namespace {

// A list of tensors in which null stands for "not given" (an undefined tensor).
std::vector<at::Tensor> optionalTensors(napi_env env, Instance& instance, napi_value value, const char* what) {
  std::vector<at::Tensor> tensors;
  if (isNullish(env, value)) return tensors;
  for (napi_value item : toArray(env, value, what)) {
    tensors.push_back(isNullish(env, item) ? at::Tensor() : instance.tensor(item, what));
  }
  return tensors;
}

// backward(outputs, gradients | null, retainGraph, createGraph, inputs | null)
napi_value backward(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const auto outputs = toTensors(instance, args[0], "outputs");
  const auto gradients = optionalTensors(env, instance, args[1], "gradients");
  const bool retain = toBool(env, args[2], "retainGraph");
  const bool create = toBool(env, args[3], "createGraph");
  torch::autograd::backward(outputs, gradients, retain, create, optionalTensors(env, instance, args[4], "inputs"));
  return undefined(env);
}

// grad(outputs, inputs, gradients | null, retainGraph, createGraph, allowUnused) -> gradients, undefined where unused
napi_value grad(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const auto outputs = toTensors(instance, args[0], "outputs");
  const auto inputs = toTensors(instance, args[1], "inputs");
  const auto gradients = optionalTensors(env, instance, args[2], "gradients");
  const auto results = torch::autograd::grad(outputs, inputs, gradients, toBool(env, args[3], "retainGraph"),
                                             toBool(env, args[4], "createGraph"), toBool(env, args[5], "allowUnused"));
  napi_value array;
  check(env, napi_create_array_with_length(env, results.size(), &array));
  for (size_t i = 0; i < results.size(); ++i) {
    napi_value item = results[i].defined() ? instance.wrap(results[i]) : undefined(env);
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), item));
  }
  return array;
}

napi_value setGradEnabled(napi_env env, Instance&, const Arguments& args) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(toBool(env, args[0], "enabled"));
  return toJs(env, before);
}

napi_value isGradEnabled(napi_env env, Instance&, const Arguments&) { return toJs(env, c10::GradMode::is_enabled()); }

// enterAutocast(device, dtype) -> the dtype that was in force, or undefined. libtorch's own autocast, so its lists
// of operators are PyTorch's.
napi_value enterAutocast(napi_env env, Instance&, const Arguments& args) {
  const auto device = deviceOf(toString(env, args[0], "device")).type();
  const auto dtype = dtypeOf(toString(env, args[1], "dtype"));
  napi_value before = undefined(env);
  if (at::autocast::is_autocast_enabled(device)) {
    before = toJs(env, std::string(dtypeName(at::autocast::get_autocast_dtype(device))));
  }
  at::autocast::set_autocast_dtype(device, dtype);
  at::autocast::set_autocast_enabled(device, true);
  at::autocast::increment_nesting();
  return before;
}

// leaveAutocast(device, the dtype that was in force before | undefined)
napi_value leaveAutocast(napi_env env, Instance&, const Arguments& args) {
  const auto device = deviceOf(toString(env, args[0], "device")).type();
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  const bool enabled = !isNullish(env, args[1]);
  if (enabled) at::autocast::set_autocast_dtype(device, dtypeOf(toString(env, args[1], "dtype")));
  at::autocast::set_autocast_enabled(device, enabled);
  return undefined(env);
}

}  // namespace

void defineAutograd(napi_env env, napi_value exports, Instance& instance) {
  define<backward>(env, exports, instance, "backward");
  define<grad>(env, exports, instance, "grad");
  define<setGradEnabled>(env, exports, instance, "setGradEnabled");
  define<isGradEnabled>(env, exports, instance, "isGradEnabled");
  define<enterAutocast>(env, exports, instance, "enterAutocast");
  define<leaveAutocast>(env, exports, instance, "leaveAutocast");
}

}  // namespace qwen_pt

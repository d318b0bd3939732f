// What JavaScript can ask of a tensor handle without an operator: its metadata, its bytes, its gradient, its
// lifetime. Everything that computes goes through dispatch.cc.
#include "tensor.h"

#include <ATen/Context.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "dtype.h"

namespace qwen_pt {

namespace {

napi_value sizes(napi_env env, c10::IntArrayRef values) {
  napi_value array;
  check(env, napi_create_array_with_length(env, values.size(), &array));
  for (size_t i = 0; i < values.size(); ++i) check(env, napi_set_element(env, array, i, toJs(env, values[i])));
  return array;
}

// tensorInfo(handle) -> [shape, dtype, device]; cached by the TypeScript class.
napi_value tensorShape(napi_env env, Instance& instance, const Arguments& args) {
  return sizes(env, instance.tensor(args[0], "this tensor").sizes());
}

napi_value tensorStrides(napi_env env, Instance& instance, const Arguments& args) {
  return sizes(env, instance.tensor(args[0], "this tensor").strides());
}

napi_value tensorDtype(napi_env env, Instance& instance, const Arguments& args) {
  return toJs(env, std::string(dtypeName(instance.tensor(args[0], "this tensor").scalar_type())));
}

napi_value tensorDevice(napi_env env, Instance& instance, const Arguments& args) {
  return toJs(env, instance.tensor(args[0], "this tensor").device().str());
}

napi_value tensorRequiresGrad(napi_env env, Instance& instance, const Arguments& args) {
  return toJs(env, instance.tensor(args[0], "this tensor").requires_grad());
}

napi_value tensorSetRequiresGrad(napi_env env, Instance& instance, const Arguments& args) {
  instance.tensor(args[0], "this tensor").set_requires_grad(toBool(env, args[1], "requiresGrad"));
  return undefined(env);
}

napi_value tensorIsLeaf(napi_env env, Instance& instance, const Arguments& args) {
  return toJs(env, instance.tensor(args[0], "this tensor").is_leaf());
}

napi_value tensorGrad(napi_env env, Instance& instance, const Arguments& args) {
  const at::Tensor& gradient = instance.tensor(args[0], "this tensor").grad();
  return gradient.defined() ? instance.wrap(gradient) : undefined(env);
}

napi_value tensorSetGrad(napi_env env, Instance& instance, const Arguments& args) {
  at::Tensor& target = instance.tensor(args[0], "this tensor");
  if (isNullish(env, args[1])) {
    target.mutable_grad().reset();
    return undefined(env);
  }
  const at::Tensor& gradient = instance.tensor(args[1], "grad");
  if (gradient.sizes() != target.sizes() || gradient.dtype() != target.dtype() ||
      gradient.device() != target.device()) {
    throw CodedError("ERR_ARGUMENT", "grad must have the shape, dtype and device of its tensor");
  }
  target.mutable_grad() = gradient;
  return undefined(env);
}

napi_value tensorVersion(napi_env env, Instance& instance, const Arguments& args) {
  return toJs(env, static_cast<int64_t>(instance.tensor(args[0], "this tensor")._version()));
}

// Where the bytes of a tensor are, to tell views from copies; not to be dereferenced.
napi_value tensorDataPointer(napi_env env, Instance& instance, const Arguments& args) {
  napi_value result;
  check(env, napi_create_bigint_uint64(
                 env, reinterpret_cast<uint64_t>(instance.tensor(args[0], "this tensor").const_data_ptr()), &result));
  return result;
}

napi_value tensorIsDisposed(napi_env env, Instance& instance, const Arguments& args) {
  return toJs(env, !instance.handle(args[0], "this tensor").tensor.defined());
}

napi_value tensorDispose(napi_env env, Instance& instance, const Arguments& args) {
  instance.release(instance.handle(args[0], "this tensor"));
  return undefined(env);
}

// item(handle): one element as a number, a bigint beyond 2^53, or a boolean. Waits for the device.
napi_value tensorItem(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const at::Tensor& tensor = instance.tensor(args[0], "this tensor");
  if (tensor.numel() != 1) {
    throw CodedError("ERR_ARGUMENT",
                     "item() needs a tensor of one element, this one has " + std::to_string(tensor.numel()));
  }
  const at::Scalar scalar = at::_local_scalar_dense(tensor.detach());
  if (scalar.isBoolean()) return toJs(env, scalar.toBool());
  if (scalar.isIntegral(false)) return toJs(env, scalar.toLong());
  return toJs(env, scalar.toDouble());
}

// fromBytes(arrayBufferView | arrayBuffer, shape, dtype) -> a CPU tensor that owns a copy of the bytes.
napi_value tensorFromBytes(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  void* data = nullptr;
  size_t bytes = 0;
  bool isBuffer = false;
  check(env, napi_is_arraybuffer(env, args[0], &isBuffer));
  size_t offset = 0;
  if (isBuffer) {
    check(env, napi_get_arraybuffer_info(env, args[0], &data, &bytes));
    offset = static_cast<size_t>(toInteger(env, args[3], "offset"));
    bytes = static_cast<size_t>(toInteger(env, args[4], "length"));
  } else {
    throw CodedError("ERR_ARGUMENT", "data must be an ArrayBuffer");
  }
  const auto shape = toShape(env, args[1], "shape");
  const auto type = dtypeOf(toString(env, args[2], "dtype"));
  for (int64_t size : shape) {
    if (size < 0) throw CodedError("ERR_ARGUMENT", "shape has a negative size");
  }
  at::Tensor tensor = at::empty(shape, at::TensorOptions(type));
  if (tensor.nbytes() != bytes) {
    throw CodedError("ERR_ARGUMENT", "the data has " + std::to_string(bytes) + " bytes, the shape and dtype need " +
                                         std::to_string(tensor.nbytes()));
  }
  if (bytes) std::memcpy(tensor.mutable_data_ptr(), static_cast<char*>(data) + offset, bytes);
  return instance.wrap(std::move(tensor));
}

// toBytes(handle) -> ArrayBuffer, in C order, copied from whatever device. Waits for the device.
napi_value tensorToBytes(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const at::Tensor tensor = instance.tensor(args[0], "this tensor").detach().to(at::kCPU).contiguous();
  void* data = nullptr;
  napi_value buffer;
  check(env, napi_create_arraybuffer(env, tensor.nbytes(), &data, &buffer));
  if (tensor.nbytes()) std::memcpy(data, tensor.const_data_ptr(), tensor.nbytes());
  return buffer;
}

// ---- scopes

napi_value openScope(napi_env env, Instance& instance, const Arguments&) {
  instance.scopes.push_back({nullptr, instance.nextScopeId++});
  return toJs(env, static_cast<int64_t>(instance.scopes.back().id));
}

// Moves a handle to the enclosing scope of the one that is about to close, or out of all of them.
void moveOut(Instance& instance, Handle& handle, int32_t to) {
  instance.unlink(handle);
  instance.link(handle, to);
  if (to < 0) instance.report(handle);
}

// closeScope(id, kept handles): frees what was made in the scope, hands what is kept to the parent.
napi_value closeScope(napi_env env, Instance& instance, const Arguments& args) {
  const auto id = static_cast<uint64_t>(toInteger(env, args[0], "scope"));
  if (instance.scopes.empty() || instance.scopes.back().id != id) {
    for (Scope& scope : instance.scopes) scope.abandoned |= scope.id == id;
    throw CodedError("ERR_SCOPE",
                     "scopes overlap: a scope was closed while one that was opened later is still open "
                     "(an asynchronous scope must be awaited before another one opens)");
  }
  const auto index = static_cast<int32_t>(instance.scopes.size()) - 1;
  int32_t parent = index - 1;
  while (parent >= 0 && instance.scopes[parent].abandoned) --parent;
  for (napi_value value : toArray(env, args[1], "kept tensors")) {
    Handle& handle = instance.handle(value, "a kept tensor");
    if (handle.scope == index && handle.tensor.defined()) moveOut(instance, handle, parent);
  }
  do {
    while (instance.scopes.back().first) instance.release(*instance.scopes.back().first);
    instance.scopes.pop_back();
  } while (!instance.scopes.empty() && instance.scopes.back().abandoned);
  return undefined(env);
}

// keep(handle): takes a tensor out of every scope; its owner disposes of it.
napi_value keepTensor(napi_env env, Instance& instance, const Arguments& args) {
  Handle& handle = instance.handle(args[0], "the tensor to keep");
  if (handle.scope >= 0 && handle.tensor.defined()) moveOut(instance, handle, -1);
  return undefined(env);
}

napi_value liveTensors(napi_env env, Instance& instance, const Arguments&) { return toJs(env, instance.liveTensors); }

napi_value scopeDepth(napi_env env, Instance& instance, const Arguments&) {
  return toJs(env, static_cast<int64_t>(instance.scopes.size()));
}

}  // namespace

void defineTensor(napi_env env, napi_value exports, Instance& instance) {
  define<tensorShape>(env, exports, instance, "tensorShape");
  define<tensorStrides>(env, exports, instance, "tensorStrides");
  define<tensorDtype>(env, exports, instance, "tensorDtype");
  define<tensorDevice>(env, exports, instance, "tensorDevice");
  define<tensorRequiresGrad>(env, exports, instance, "tensorRequiresGrad");
  define<tensorSetRequiresGrad>(env, exports, instance, "tensorSetRequiresGrad");
  define<tensorIsLeaf>(env, exports, instance, "tensorIsLeaf");
  define<tensorGrad>(env, exports, instance, "tensorGrad");
  define<tensorSetGrad>(env, exports, instance, "tensorSetGrad");
  define<tensorVersion>(env, exports, instance, "tensorVersion");
  define<tensorDataPointer>(env, exports, instance, "tensorDataPointer");
  define<tensorIsDisposed>(env, exports, instance, "tensorIsDisposed");
  define<tensorDispose>(env, exports, instance, "tensorDispose");
  define<tensorItem>(env, exports, instance, "tensorItem");
  define<tensorFromBytes>(env, exports, instance, "tensorFromBytes");
  define<tensorToBytes>(env, exports, instance, "tensorToBytes");
  define<openScope>(env, exports, instance, "openScope");
  define<closeScope>(env, exports, instance, "closeScope");
  define<keepTensor>(env, exports, instance, "keepTensor");
  define<liveTensors>(env, exports, instance, "liveTensors");
  define<scopeDepth>(env, exports, instance, "scopeDepth");
}

}  // namespace qwen_pt

// A linear layer that trains and multiplies in 8-bit floats (products/coded/float8.h), forward and in both of its
// gradients; one that is frozen is linear_coded.cc's.
//
//   linear_float8(x [..., in], weight [out, in], given=None) -> [..., out]              y = x W^T
//
// The input and the weight are e4m3, the gradient of the output e5m2, each quantized as it comes by its own largest magnitude; the
// products are rounded to x's dtype, and the weight's gradient then widened to the weight's. `in` and `out` are multiples
// of 16; the weight's gradient sums over tokens, whose number is brought to one by zeros. Between the passes the input's
// codes are kept, a byte a number; the weight's are made again. `given` is returned as if it had been computed.

#include "products/coded/float8.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/alias.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Given = std::optional<Tensor>;

std::vector<int64_t> shapeOf(const Tensor& x, const Tensor& weight) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return shape;
}

void check(const Tensor& x, const Tensor& weight, const Given& given) {
  TORCH_CHECK(x.dim() >= 1 && weight.dim() == 2 && weight.size(1) == x.size(-1), "x ", x.sizes(), " and weight ",
              weight.sizes(), " do not belong together");
  TORCH_CHECK(weight.size(0) % kFloat8Multiple == 0 && weight.size(1) % kFloat8Multiple == 0,
              "a weight of 8-bit floats ", "has sides that are multiples of ", kFloat8Multiple, ", not ",
              weight.sizes());
  TORCH_CHECK(!given || (given->scalar_type() == x.scalar_type() && given->sizes() == shapeOf(x, weight)),
              "the given result is not ", x.scalar_type(), " ", shapeOf(x, weight));
}

Tensor product(const Float8Matrix& x, const Tensor& weight, at::ScalarType dtype) {
  return float8Product(x, toFloat8(weight, Float8Format::e4m3), dtype, /*fast=*/true);
}

Tensor rowsOf(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

Tensor withoutGradient(const Tensor& x, const Tensor& weight, const Given& given) {
  check(x, weight, given);
  if (given) return at::alias(*given);
  return product(toFloat8(rowsOf(x), Float8Format::e4m3), weight, x.scalar_type()).view(shapeOf(x, weight));
}

struct LinearFloat8 : torch::autograd::Function<LinearFloat8> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Given& given) {
    at::AutoDispatchBelowADInplaceOrView below;
    const bool wantsWeight = context->needs_input_grad(1);
    Float8Matrix input;
    if (wantsWeight || !given) input = toFloat8(rowsOf(x), Float8Format::e4m3);
    // of a frozen layer's input nothing is needed but its shape
    context->save_for_backward({wantsWeight ? input.codes : Tensor(), wantsWeight ? input.unit : Tensor(), weight});
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["wants_x"] = context->needs_input_grad(0);
    context->saved_data["wants_weight"] = wantsWeight;
    return given ? at::alias(*given) : product(input, weight, x.scalar_type()).view(shapeOf(x, weight));
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "linear_float8 has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const Tensor& weight = saved[2];
    const Tensor dOut = outputs[0].reshape({-1, outputs[0].size(-1)});
    const at::ScalarType dtype = dOut.scalar_type();
    const Float8Matrix gradient = toFloat8(dOut, Float8Format::e5m2);
    Tensor dX, dWeight;
    if (context->saved_data["wants_x"].toBool()) {
      const Float8Matrix turned = toFloat8(weight, Float8Format::e4m3).transposed();
      dX = float8Product(gradient, turned, dtype, /*fast=*/false).view(context->saved_data["shape"].toIntVector());
    }
    if (context->saved_data["wants_weight"].toBool()) {
      const Float8Matrix input{saved[0], saved[1]};
      dWeight = float8Product(gradient.padded(kFloat8Multiple).transposed(), input.padded(kFloat8Multiple).transposed(),
                              dtype, /*fast=*/false)
                    .to(weight.scalar_type());
    }
    return {dX, dWeight, Tensor()};
  }
};

Tensor withGradient(const Tensor& x, const Tensor& weight, const Given& given) {
  if (c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad())) {
    check(x, weight, given);
    return LinearFloat8::apply(x, weight, given);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return withoutGradient(x, weight, given);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor underAutocast(const Tensor& x, const Tensor& weight, const Given& given) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::linear_float8", "").typed<decltype(withGradient)>();
  return linear.call(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), x, device), weight, given);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("linear_float8(Tensor x, Tensor weight, Tensor? given=None) -> Tensor");
}

// Both keys: a forward that stood alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) { library.impl("linear_float8", withoutGradient); }
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) { library.impl("linear_float8", withGradient); }
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCPU, library) {
  library.impl("linear_float8", underAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCUDA, library) {
  library.impl("linear_float8", underAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
}

}  // namespace qwen_pt

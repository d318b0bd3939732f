// A frozen linear layer whose weight is in codes (products/frozen_weight.h), by itself: without an adapter, or beside one.
//
//   linear_coded(x [..., in], codes, state, stored) -> [..., out]              y = x W^T
//   linear_coded_recalled(x, codes, state, stored, given [..., out]) -> given, as if it had been computed
//
// x is in the dtype of the product. Of the forward pass nothing is kept but the codes.

#include "products/frozen_weight.h"

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
using at::TensorList;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::vector<int64_t> shapeOf(const Tensor& x, int64_t width) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = width;
  return shape;
}

Tensor product(const Tensor& x, const Tensor& codes, TensorList state, at::ScalarType stored) {
  TORCH_CHECK(x.dim() >= 1, "x must be [..., in]");
  const FrozenWeight weight(codes, state, x.size(-1), stored);
  return weight.forward(x.reshape({-1, x.size(-1)})).view(shapeOf(x, weight.rows()));
}

Tensor recalledProduct(const Tensor& x, const Tensor& codes, TensorList state, at::ScalarType stored,
                       const Tensor& given) {
  const FrozenWeight weight(codes, state, x.size(-1), stored);
  TORCH_CHECK(given.scalar_type() == x.scalar_type() && given.sizes() == shapeOf(x, weight.rows()),
              "the given result is ", given.scalar_type(), " ", given.sizes(), ", not ", x.scalar_type(), " ",
              shapeOf(x, weight.rows()));
  return at::alias(given);
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& codes, TensorList state,
                        at::ScalarType stored, const std::optional<Tensor>& given) {
    at::AutoDispatchBelowADInplaceOrView below;
    variable_list saved{codes};
    saved.insert(saved.end(), state.begin(), state.end());
    context->save_for_backward(saved);
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["stored"] = static_cast<int64_t>(stored);
    return given ? recalledProduct(x, codes, state, stored, *given) : product(x, codes, state, stored);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "linear_coded has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const std::vector<int64_t> shape = context->saved_data["shape"].toIntVector();
    const FrozenWeight weight(saved[0], TensorList(saved).slice(1), shape.back(),
                              static_cast<at::ScalarType>(context->saved_data["stored"].toInt()));
    variable_list grads(saved.size() + 3);  // x, codes, state, stored, given
    grads[0] = weight.inputGradient(outputs[0].reshape({-1, weight.rows()})).view(shape);
    return grads;
  }
};

bool isRecorded(const Tensor& x) { return c10::GradMode::is_enabled() && x.requires_grad(); }

Tensor withGradient(const Tensor& x, const Tensor& codes, TensorList state, at::ScalarType stored) {
  if (isRecorded(x)) return Linear::apply(x, codes, state, stored, std::optional<Tensor>());
  at::AutoDispatchBelowADInplaceOrView below;
  return product(x, codes, state, stored);
}

Tensor recalled(const Tensor& x, const Tensor& codes, TensorList state, at::ScalarType stored, const Tensor& given) {
  if (isRecorded(x)) return Linear::apply(x, codes, state, stored, std::optional<Tensor>(given));
  at::AutoDispatchBelowADInplaceOrView below;
  return recalledProduct(x, codes, state, stored, given);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor underAutocast(const Tensor& x, const Tensor& codes, TensorList state, at::ScalarType stored) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::linear_coded", "").typed<decltype(product)>();
  return linear.call(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), x, device), codes, state,
                     stored);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor recalledUnderAutocast(const Tensor& x, const Tensor& codes, TensorList state, at::ScalarType stored,
                             const Tensor& given) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::linear_coded_recalled", "").typed<decltype(recalled)>();
  return linear.call(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), x, device), codes, state,
                     stored, given);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("linear_coded(Tensor x, Tensor codes, Tensor[] state, ScalarType stored) -> Tensor");
  library.def(
      "linear_coded_recalled(Tensor x, Tensor codes, Tensor[] state, ScalarType stored, Tensor given) -> Tensor");
}

// Both keys: a forward that stood alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("linear_coded", product);
  library.impl("linear_coded_recalled", recalledProduct);
}
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) {
  library.impl("linear_coded", withGradient);
  library.impl("linear_coded_recalled", recalled);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCPU, library) {
  library.impl("linear_coded", underAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
  library.impl("linear_coded_recalled", recalledUnderAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCUDA, library) {
  library.impl("linear_coded", underAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
  library.impl("linear_coded_recalled", recalledUnderAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
}

}  // namespace qwen_pt

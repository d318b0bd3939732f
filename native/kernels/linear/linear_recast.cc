// A linear layer whose weight is stored wider than it is multiplied (float32 under bfloat16 autocast), or is frozen.
//
//   linear_recast(x [..., in], weight [out, in]) -> [..., out]              y = x W^T
//   linear_recast_recalled(x, weight, given [..., out]) -> given, as if it had been computed
//
// x is in the dtype of the product. autocast keeps the narrowed copy of every weight until the backward pass, half as
// many bytes as all the weights; here it is made again, which costs a hundredth of a product. dW = dy^T x is rounded to
// x's dtype and widened, as under autocast. A frozen weight's products are frozen_product.h's. Composed of ATen
// operators, so it runs on every device.

#include "products/frozen_product.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::vector<int64_t> shapeOf(const Tensor& x, const Tensor& weight) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return shape;
}

void check(const Tensor& x, const Tensor& weight) {
  TORCH_CHECK(x.dim() >= 1 && weight.dim() == 2 && weight.size(1) == x.size(-1), "x ", x.sizes(), " and weight ",
              weight.sizes(), " do not belong together");
}

Tensor product(const Tensor& x, const Tensor& weight) {
  check(x, weight);
  const Tensor rows = x.reshape({-1, x.size(-1)}), narrow = weight.to(x.scalar_type());
  const Tensor out = weight.requires_grad() ? at::mm(rows, narrow.t()) : frozenForward(rows, narrow);
  return out.view(shapeOf(x, weight));
}

struct LinearRecast : torch::autograd::Function<LinearRecast> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& given) {
    at::AutoDispatchBelowADInplaceOrView below;
    // of a frozen layer's input nothing is needed but its shape
    context->save_for_backward({context->needs_input_grad(1) ? x : Tensor(), weight});
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["wants_x"] = context->needs_input_grad(0);
    context->saved_data["wants_weight"] = context->needs_input_grad(1);
    return given ? at::alias(*given) : product(x, weight);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "linear_recast has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Tensor dOut = outputs[0].reshape({-1, outputs[0].size(-1)});
    Tensor dX, dWeight;
    const bool trained = context->saved_data["wants_weight"].toBool();
    if (context->saved_data["wants_x"].toBool()) {
      const Tensor narrow = weight.to(dOut.scalar_type());
      dX = (trained ? at::mm(dOut, narrow) : frozenInputGradient(dOut, narrow))
               .view(context->saved_data["shape"].toIntVector());
    }
    if (trained) dWeight = at::mm(dOut.t(), x.reshape({-1, x.size(-1)})).to(weight.scalar_type());
    return {dX, dWeight, Tensor()};
  }
};

bool isRecorded(const Tensor& x, const Tensor& weight) {
  return c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
}

Tensor withGradient(const Tensor& x, const Tensor& weight) {
  if (isRecorded(x, weight)) {
    check(x, weight);
    return LinearRecast::apply(x, weight, std::optional<Tensor>());
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return product(x, weight);
}

Tensor recalled(const Tensor& x, const Tensor& weight, const Tensor& given) {
  check(x, weight);
  TORCH_CHECK(given.scalar_type() == x.scalar_type() && given.sizes() == shapeOf(x, weight), "the given result is ",
              given.scalar_type(), " ", given.sizes(), ", not ", x.scalar_type(), " ", shapeOf(x, weight));
  if (!isRecorded(x, weight)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return at::alias(given);
  }
  return LinearRecast::apply(x, weight, std::optional<Tensor>(given));
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor underAutocast(const Tensor& x, const Tensor& weight) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::linear_recast", "").typed<decltype(product)>();
  return linear.call(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), x, device), weight);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor recalledUnderAutocast(const Tensor& x, const Tensor& weight, const Tensor& given) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::linear_recast_recalled", "").typed<decltype(recalled)>();
  return linear.call(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), x, device), weight, given);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("linear_recast(Tensor x, Tensor weight) -> Tensor");
  library.def("linear_recast_recalled(Tensor x, Tensor weight, Tensor given) -> Tensor");
}

// Both keys: a forward that stood alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("linear_recast", product);
  library.impl("linear_recast_recalled", recalled);
}
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) {
  library.impl("linear_recast", withGradient);
  library.impl("linear_recast_recalled", recalled);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCPU, library) {
  library.impl("linear_recast", underAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
  library.impl("linear_recast_recalled", recalledUnderAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCUDA, library) {
  library.impl("linear_recast", underAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
  library.impl("linear_recast_recalled", recalledUnderAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
}

}  // namespace qwen_pt

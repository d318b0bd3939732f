// silu(gate) * up by the kernels of swiglu.cu: one launch forward, one backward. The operator is kernels/rows/swiglu.cc's.

#include "accelerator/kernels.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <string>

namespace qwen_pt {

namespace {

using at::Tensor;
using Product = Tensor(const Tensor&, const Tensor&);

constexpr unsigned kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

Tensor composite(const Tensor& gate, const Tensor& up) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::composite_swiglu", "").typed<Product>();
  return op.call(gate, up);
}

bool suits(const Tensor& gate, const Tensor& up) {
  return hasKernels(gate) && !kernelSuffix(gate.scalar_type()).empty() && gate.scalar_type() == up.scalar_type() &&
         gate.sizes() == up.sizes() && gate.device() == up.device() && gate.numel() > 0;
}

std::string name(const char* kernel, const Tensor& x, bool isOne) {
  return std::string(kernel) + "_" + kernelSuffix(x.scalar_type()) + (isOne ? "_one" : "");
}

Grid gridOf(const Tensor& x, bool isOne) {
  const int64_t width = isOne ? 1 : 16 / x.element_size(), each = kThreads * width;
  return {static_cast<unsigned>(std::min((x.numel() + each - 1) / each, kMostBlocks)), kThreads};
}

Tensor forward(const Tensor& gate, const Tensor& up) {
  if (!suits(gate, up)) return composite(gate, up);
  const Tensor a = gate.contiguous(), b = up.contiguous(), out = at::empty_like(a);
  const bool isOne = !isWide(a.numel(), {a, b, out});
  launch(a, "swiglu", name("swiglu_forward", a, isOne), gridOf(a, isOne), a.const_data_ptr(), b.const_data_ptr(),
         out.data_ptr(), a.numel());
  return out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct FusedSwiglu : torch::autograd::Function<FusedSwiglu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({gate, up});
    return qwen_pt::forward(gate, up);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "swiglu has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const Tensor gate = saved[0].contiguous(), up = saved[1].contiguous(), grad = outputs[0].contiguous();
    const Tensor dGate = at::empty_like(gate), dUp = at::empty_like(up);
    const bool isOne = !isWide(gate.numel(), {gate, up, grad});
    launch(gate, "swiglu", name("swiglu_backward", gate, isOne), gridOf(gate, isOne), gate.const_data_ptr(),
           up.const_data_ptr(), grad.const_data_ptr(), dGate.data_ptr(), dUp.data_ptr(), gate.numel());
    return {dGate, dUp};
  }
};

Tensor withGradient(const Tensor& gate, const Tensor& up) {
  if (!suits(gate, up)) return composite(gate, up);
  if (c10::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad())) {
    return FusedSwiglu::apply(gate, up);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return forward(gate, up);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) { library.def("fused_swiglu(Tensor gate, Tensor up) -> Tensor"); }

// By name on any device that has kernels, the processor with an emulator among them; elsewhere composed.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) { library.impl("fused_swiglu", forward); }
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) { library.impl("fused_swiglu", withGradient); }
TORCH_LIBRARY_IMPL(qwen_pt, CUDA, library) { library.impl("swiglu", forward); }
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCUDA, library) { library.impl("swiglu", withGradient); }
TORCH_LIBRARY_IMPL(qwen_pt, Meta, library) { library.impl("swiglu", forward); }
TORCH_LIBRARY_IMPL(qwen_pt, AutogradMeta, library) { library.impl("swiglu", withGradient); }

}  // namespace qwen_pt

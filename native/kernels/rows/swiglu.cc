// SwiGLU's product, swiglu(gate, up) = silu(gate) * up, elements of one shape and dtype. Only gate and up are kept for
// the backward pass. On the CPU our own kernel (swiglu_rows.h); elsewhere ATen operators.

#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kGrain = 32768;  // numbers that are worth a thread

Tensor composite(const Tensor& gate, const Tensor& up) { return at::silu(gate) * up; }

bool suitsKernel(const Tensor& gate, const Tensor& up) {
  const auto dtype = gate.scalar_type();
  return dtype == up.scalar_type() && gate.sizes() == up.sizes() &&
         (dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf);
}

SwigluProblem problemOf(const Tensor& gate, const Tensor& up) {
  return {gate.scalar_type(), gate.const_data_ptr(), up.const_data_ptr()};
}

Tensor onCpu(const Tensor& gate, const Tensor& up) {
  if (!suitsKernel(gate, up)) return composite(gate, up);
  const Tensor a = gate.contiguous(), b = up.contiguous();
  Tensor out = at::empty_like(a);
  SwigluProblem problem = problemOf(a, b);
  problem.out = out.data_ptr();
  at::parallel_for(0, a.numel(), kGrain,
                   [&](int64_t first, int64_t end) { vectorKernels().swiglu.forward(problem, first, end); });
  return out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SwigluProduct : torch::autograd::Function<SwigluProduct> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({gate, up});
    return onCpu(gate, up);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "swiglu has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const Tensor gate = saved[0].contiguous(), up = saved[1].contiguous(), grad = outputs[0].contiguous();
    Tensor dGate = at::empty_like(gate), dUp = at::empty_like(up);
    SwigluProblem problem = problemOf(gate, up);
    problem.dOut = grad.const_data_ptr();
    problem.dGate = dGate.data_ptr();
    problem.dUp = dUp.data_ptr();
    at::parallel_for(0, gate.numel(), kGrain,
                     [&](int64_t first, int64_t end) { vectorKernels().swiglu.backward(problem, first, end); });
    return {dGate, dUp};
  }
};

Tensor autogradOnCpu(const Tensor& gate, const Tensor& up) {
  if (!suitsKernel(gate, up)) return composite(gate, up);
  if (c10::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad())) {
    return SwigluProduct::apply(gate, up);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return onCpu(gate, up);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("swiglu(Tensor gate, Tensor up) -> Tensor");
  library.def("composite_swiglu(Tensor gate, Tensor up) -> Tensor", composite);
}

// CPU and AutogradCPU both: beside a composite kernel, one for CPU alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeImplicitAutograd, library) { library.impl("swiglu", composite); }
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) { library.impl("swiglu", onCpu); }
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCPU, library) { library.impl("swiglu", autogradOnCpu); }

}  // namespace qwen_pt

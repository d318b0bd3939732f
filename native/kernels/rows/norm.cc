// RMS normalisation, alone and with the rotary embedding that follows it on queries and keys:
//
//   rms_norm(x [..., dim], weight [dim], eps) -> [..., dim]
//   norm_rope(x [batch, seq, heads, dim], weight [dim], cos, sin [1 or batch, 1, seq, dim], eps) -> x's shape
//
// The result has the dtype that x times weight has. On the CPU our own kernels (norm_rows.h); elsewhere, and for
// dtypes that they do not know, ATen operators.

#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>

namespace qwen_pt {

namespace {

using at::Tensor;

// With ATen operators alone.

Tensor compositeNorm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const Tensor scale = wide.pow(2).mean(-1, /*keepdim=*/true).add(eps).rsqrt();
  return weight * wide.mul(scale).to(x.scalar_type());
}

void checkRope(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  TORCH_CHECK(x.dim() == 4 && x.size(3) % 2 == 0, "x must be [batch, seq, heads, dim] with an even dim, got ",
              x.sizes());
  for (const Tensor* each : {&cos, &sin}) {
    TORCH_CHECK(each->dim() == 4 && (each->size(0) == 1 || each->size(0) == x.size(0)) && each->size(1) == 1 &&
                    each->size(2) == x.size(1) && each->size(3) == x.size(3),
                "cos and sin must be [1 or batch, 1, seq, dim], got ", each->sizes(), " for x ", x.sizes());
  }
}

Tensor compositeNormRope(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps) {
  checkRope(x, cos, sin);
  const int64_t half = x.size(3) / 2;
  const Tensor normed = compositeNorm(x, weight, eps);
  const Tensor turned = at::cat({normed.narrow(3, half, half).neg(), normed.narrow(3, 0, half)}, 3);
  return normed * cos.transpose(1, 2) + turned * sin.transpose(1, 2);
}

// On the CPU.

bool isKnown(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf;
}

/// The result is the input's dtype, or float32 for 16 bits.
bool suitsKernel(const Tensor& x, const Tensor& weight, at::ScalarType out) {
  return isKnown(x.scalar_type()) && x.dim() > 0 && weight.dim() == 1 && weight.size(0) == x.size(-1) &&
         (out == x.scalar_type() || (out == at::kFloat && x.element_size() == 2));
}

at::ScalarType widened(const Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

/// The operands as the kernel takes them.
struct Operands {
  Tensor input, weight, cos, sin;
  at::ScalarType out;
  double eps;

  NormProblem problem() const {
    NormProblem p{};
    p.dtype = input.scalar_type();
    p.outDtype = out;
    p.dim = input.size(-1);
    p.eps = eps;
    p.input = input.const_data_ptr();
    p.weight = weight.const_data_ptr();
    if (cos.defined()) {
      p.cosine = cos.const_data_ptr();
      p.sine = sin.const_data_ptr();
      p.rowsPerPosition = input.size(2);
      p.positions = cos.size(0) * cos.size(2);
    }
    return p;
  }

  int64_t rows() const { return input.numel() / std::max<int64_t>(input.size(-1), 1); }
};

Operands operandsOf(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps,
                    at::ScalarType out) {
  const auto wide = widened(x);
  const auto prepared = [wide](const Tensor& t) { return t.defined() ? t.to(wide).contiguous() : t; };
  return {x.contiguous(), prepared(weight), prepared(cos), prepared(sin), out, eps};
}

/// Rows that are worth a thread.
int64_t grain(int64_t dim) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(dim, 1)); }

Tensor forwardOnCpu(const Operands& operands) {
  Tensor out = at::empty(operands.input.sizes(), operands.input.options().dtype(operands.out));
  NormProblem problem = operands.problem();
  problem.out = out.data_ptr();
  at::parallel_for(0, operands.rows(), grain(problem.dim),
                   [&](int64_t first, int64_t end) { vectorKernels().norm.forward(problem, first, end); });
  return out;
}

struct Gradients {
  Tensor input, weight;
};

Gradients backwardOnCpu(const Operands& operands, const Tensor& grad, bool wantsInput, bool wantsWeight) {
  const Tensor dOut = grad.to(operands.out).contiguous();
  NormProblem problem = operands.problem();
  problem.dOut = dOut.const_data_ptr();
  Gradients result;
  if (wantsInput) result.input = at::empty_like(operands.input);
  problem.dInput = wantsInput ? result.input.data_ptr() : nullptr;
  // Each share of the rows sums its own gradient of the weight.
  const int64_t rows = operands.rows();
  const int64_t shares = std::clamp<int64_t>(rows / grain(problem.dim), 1, at::get_num_threads());
  Tensor sums;
  if (wantsWeight) sums = at::zeros({shares, problem.dim}, operands.weight.options());
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t end) {
    for (int64_t share = first; share < end; ++share) {
      NormProblem mine = problem;
      if (wantsWeight) mine.dWeight = static_cast<char*>(sums.data_ptr()) + share * problem.dim * sums.element_size();
      vectorKernels().norm.backward(mine, rows * share / shares, rows * (share + 1) / shares);
    }
  });
  if (wantsWeight) result.weight = sums.sum(0);
  return result;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Norm : torch::autograd::Function<Norm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& cos, const std::optional<Tensor>& sin, double eps, int64_t out) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Operands operands =
        operandsOf(x, weight, cos.value_or(Tensor()), sin.value_or(Tensor()), eps, static_cast<at::ScalarType>(out));
    context->save_for_backward({operands.input, operands.weight, operands.cos, operands.sin});
    context->saved_data["eps"] = eps;
    context->saved_data["out"] = out;
    context->saved_data["weight"] = static_cast<int64_t>(weight.scalar_type());
    context->saved_data["wants_input"] = context->needs_input_grad(0);
    context->saved_data["wants_weight"] = context->needs_input_grad(1);
    return forwardOnCpu(operands);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "rms_norm and norm_rope have no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const Operands operands{saved[0],
                            saved[1],
                            saved[2],
                            saved[3],
                            static_cast<at::ScalarType>(data["out"].toInt()),
                            data["eps"].toDouble()};
    Gradients grads = backwardOnCpu(operands, outputs[0], data["wants_input"].toBool(), data["wants_weight"].toBool());
    if (grads.weight.defined()) grads.weight = grads.weight.to(static_cast<at::ScalarType>(data["weight"].toInt()));
    return {grads.input, grads.weight, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

bool isWatched(const Tensor& x, const Tensor& weight) {
  return c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
}

Tensor normOnCpu(const Tensor& x, const Tensor& weight, double eps) {
  const auto out = at::result_type(weight, x);
  if (!suitsKernel(x, weight, out)) return compositeNorm(x, weight, eps);
  return forwardOnCpu(operandsOf(x, weight, {}, {}, eps, out));
}

Tensor autogradNormOnCpu(const Tensor& x, const Tensor& weight, double eps) {
  const auto out = at::result_type(weight, x);
  if (!suitsKernel(x, weight, out)) return compositeNorm(x, weight, eps);
  if (isWatched(x, weight)) return Norm::apply(x, weight, std::nullopt, std::nullopt, eps, static_cast<int64_t>(out));
  at::AutoDispatchBelowADInplaceOrView below;
  return normOnCpu(x, weight, eps);
}

bool suitsRopeKernel(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin) {
  checkRope(x, cos, sin);
  const auto normed = at::result_type(weight, x);
  return suitsKernel(x, weight, normed) && c10::promoteTypes(normed, cos.scalar_type()) == normed &&
         cos.scalar_type() == sin.scalar_type() && cos.size(0) == sin.size(0);
}

Tensor normRopeOnCpu(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps) {
  if (!suitsRopeKernel(x, weight, cos, sin)) return compositeNormRope(x, weight, cos, sin, eps);
  return forwardOnCpu(operandsOf(x, weight, cos, sin, eps, at::result_type(weight, x)));
}

Tensor autogradNormRopeOnCpu(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps) {
  const bool isPlain = !cos.requires_grad() && !sin.requires_grad();
  if (!isPlain || !suitsRopeKernel(x, weight, cos, sin)) return compositeNormRope(x, weight, cos, sin, eps);
  if (isWatched(x, weight)) {
    return Norm::apply(x, weight, std::optional<Tensor>(cos), std::optional<Tensor>(sin), eps,
                       static_cast<int64_t>(at::result_type(weight, x)));
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return normRopeOnCpu(x, weight, cos, sin, eps);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  library.def("composite_rms_norm(Tensor x, Tensor weight, float eps) -> Tensor", compositeNorm);
  library.def("norm_rope(Tensor x, Tensor weight, Tensor cos, Tensor sin, float eps) -> Tensor");
  library.def("composite_norm_rope(Tensor x, Tensor weight, Tensor cos, Tensor sin, float eps) -> Tensor",
              compositeNormRope);
}

// CPU and AutogradCPU both: beside a composite kernel, one for CPU alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeImplicitAutograd, library) {
  library.impl("rms_norm", compositeNorm);
  library.impl("norm_rope", compositeNormRope);
}
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("rms_norm", normOnCpu);
  library.impl("norm_rope", normRopeOnCpu);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCPU, library) {
  library.impl("rms_norm", autogradNormOnCpu);
  library.impl("norm_rope", autogradNormRopeOnCpu);
}

}  // namespace qwen_pt

// RMS normalisation, alone, of a sum and with the rotary embedding, by the kernels of norm.cu: one launch forward, one
// backward. The operators and what they mean are kernels/rows/norm.cc's, but for
//
//   add_rms_norm(x, residual [..., dim], weight [dim], eps) -> (x + residual, rms_norm of it)
//
// What the kernels do not suit goes by the composites; on the CPU with a kernel of the CPU's.

#include "accelerator/kernels.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kShares = 512;         // blocks that each sum a gradient of the weight by themselves
constexpr int64_t kSharedBytes = 48000;  // of a block, for one
constexpr int64_t kWarps = 4;            // of a block, a row each, where a row is turned

using Rms = Tensor(const Tensor&, const Tensor&, double);
using Rope = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, double);

Tensor compositeNorm(const Tensor& x, const Tensor& weight, double eps) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::composite_rms_norm", "").typed<Rms>();
  return op.call(x, weight, eps);
}

Tensor compositeRope(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::composite_norm_rope", "").typed<Rope>();
  return op.call(x, weight, cos, sin, eps);
}

/// Above autograd too, and by whatever normalises on x's device.
std::tuple<Tensor, Tensor> composedAddNorm(const Tensor& x, const Tensor& residual, const Tensor& weight, double eps) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::rms_norm", "").typed<Rms>();
  const Tensor sum = x + residual;
  return {sum, op.call(sum, weight, eps)};
}

bool isKnown(const Tensor& x) { return !kernelSuffix(x.scalar_type()).empty(); }

bool suitsNorm(const Tensor& x, const Tensor& weight) {
  if (!hasKernels(x) || !isKnown(x) || !isKnown(weight) || x.dim() == 0 || x.numel() == 0) return false;
  const auto out = at::result_type(weight, x);
  return weight.dim() == 1 && weight.size(0) == x.size(-1) && weight.device() == x.device() &&
         (out == x.scalar_type() || out == at::kFloat) &&
         x.size(-1) * static_cast<int64_t>(sizeof(float)) <= kSharedBytes;
}

bool suitsAddNorm(const Tensor& x, const Tensor& residual, const Tensor& weight) {
  return suitsNorm(x, weight) && residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type() &&
         residual.device() == x.device();
}

bool suitsRope(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin) {
  if (x.dim() != 4 || x.size(3) % 2 != 0 || !suitsNorm(x, weight)) return false;
  for (const Tensor* each : {&cos, &sin}) {
    const bool fits = each->dim() == 4 && (each->size(0) == 1 || each->size(0) == x.size(0)) && each->size(1) == 1 &&
                      each->size(2) == x.size(1) && each->size(3) == x.size(3);
    if (!fits || !isKnown(*each) || each->requires_grad() || each->device() != x.device()) return false;
  }
  const auto normed = at::result_type(weight, x);
  return c10::promoteTypes(normed, cos.scalar_type()) == normed && cos.scalar_type() == sin.scalar_type() &&
         cos.size(0) == sin.size(0);
}

/// What a kernel is given, each in one piece. `cos` is undefined where nothing is turned.
struct Operands {
  Tensor input, weight, cos, sin;
  at::ScalarType out;
  float eps;

  Operands(const Tensor& x, const Tensor& w, const Tensor& c, const Tensor& s, at::ScalarType result, double epsilon)
      : input(x.contiguous()),
        weight(w.contiguous()),
        cos(c.defined() ? c.contiguous() : c),
        sin(s.defined() ? s.contiguous() : s),
        out(result),
        eps(static_cast<float>(epsilon)) {}

  int dim() const { return static_cast<int>(input.size(-1)); }
  int64_t rows() const { return input.numel() / input.size(-1); }
  int heads() const { return static_cast<int>(input.size(2)); }
  int64_t positions() const { return cos.size(0) * cos.size(2); }
  int weightKind() const { return kernelKind(weight.scalar_type()); }
  int angleKind() const { return kernelKind(cos.scalar_type()); }

  std::string name(const char* kernel, bool isOne) const {
    return std::string(kernel) + "_" + kernelSuffix(input.scalar_type()) + "_" + kernelSuffix(out) +
           (isOne ? "_one" : "");
  }

  /// Threads of a block that takes a row at a time, `width` elements a thread and turn.
  unsigned threads(int64_t width) const {
    const int64_t turns = (dim() + width - 1) / width;
    return static_cast<unsigned>(std::clamp<int64_t>((turns + 31) / 32 * 32, 32, 256));
  }
};

int64_t widthOf(const Tensor& input, bool isOne) { return isOne ? 1 : 16 / input.element_size(); }

/// Rows of one element are read by pairs too, but for an odd half.
bool isOddHalf(const Operands& of) { return of.dim() / 2 % 2 != 0; }

const void* data(const Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }
void* room(const Tensor& x) { return x.defined() ? x.data_ptr() : nullptr; }

Tensor forward(const Operands& of) {
  const Tensor out = at::empty(of.input.sizes(), of.input.options().dtype(of.out));
  if (of.cos.defined()) {
    const Grid grid{static_cast<unsigned>((of.rows() + kWarps - 1) / kWarps), kWarps * 32};
    launch(of.input, "norm", of.name("norm_rope_forward", isOddHalf(of)), grid, data(of.input), data(of.weight),
           of.weightKind(), data(of.cos), data(of.sin), of.angleKind(), room(out), of.rows(), of.heads(),
           of.positions(), of.dim(), of.eps);
    return out;
  }
  const bool isOne = !isWide(of.dim(), {of.input, out});
  const Grid grid{static_cast<unsigned>(of.rows()), of.threads(widthOf(of.input, isOne))};
  launch(of.input, "norm", of.name("rms_norm_forward", isOne), grid, data(of.input), data(of.weight), of.weightKind(),
         room(out), of.dim(), of.eps);
  return out;
}

/// `of.input` is x; with its sum with the residual.
std::tuple<Tensor, Tensor> addForward(const Operands& of, const Tensor& residual) {
  const Tensor more = residual.contiguous(), sum = at::empty_like(of.input);
  const Tensor out = at::empty(of.input.sizes(), of.input.options().dtype(of.out));
  const bool isOne = !isWide(of.dim(), {of.input, more, sum, out});
  const Grid grid{static_cast<unsigned>(of.rows()), of.threads(widthOf(of.input, isOne))};
  launch(of.input, "norm", of.name("add_rms_norm_forward", isOne), grid, data(of.input), data(more), room(sum),
         data(of.weight), of.weightKind(), room(out), of.dim(), of.eps);
  return {sum, out};
}

struct Gradients {
  Tensor input, weight;
};

/// `more`: what the input has of a gradient besides; may be undefined.
Gradients backward(const Operands& of, const Tensor& grad, const Tensor& more, bool wantsInput, bool wantsWeight) {
  const Tensor dOut = grad.to(of.out).contiguous();
  Gradients result;
  if (wantsInput) result.input = at::empty_like(of.input);
  Tensor sums;
  const auto wide = of.input.options().dtype(at::kFloat);
  if (of.cos.defined()) {
    int64_t blocks = (of.rows() + kWarps - 1) / kWarps;
    if (wantsWeight) {
      blocks = std::min(blocks, kShares);
      sums = at::zeros({blocks * kWarps, of.dim()}, wide);
    }
    launch(of.input, "norm", of.name("norm_rope_backward", isOddHalf(of)),
           Grid{static_cast<unsigned>(blocks), kWarps * 32}, data(of.input), data(of.weight), of.weightKind(),
           data(of.cos), data(of.sin), of.angleKind(), data(dOut), room(result.input), room(sums), of.rows(),
           of.heads(), of.positions(), of.dim(), of.eps);
  } else {
    const Tensor dSum = more.defined() ? more.contiguous() : more;
    const bool isOne = !isWide(of.dim(), {of.input, dOut, dSum});
    const int64_t blocks = wantsWeight ? std::min(of.rows(), kShares) : of.rows();
    if (wantsWeight) sums = at::empty({blocks, of.dim()}, wide);
    const unsigned shared = wantsWeight ? of.dim() * sizeof(float) : 0;
    launch(of.input, "norm", of.name("rms_norm_backward", isOne),
           Grid{static_cast<unsigned>(blocks), of.threads(widthOf(of.input, isOne)), shared}, data(of.input),
           data(of.weight), of.weightKind(), data(dOut), data(dSum), room(result.input), room(sums), of.rows(),
           of.dim(), of.eps);
  }
  if (wantsWeight) result.weight = sums.sum(0).to(of.weight.scalar_type());
  return result;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct FusedNorm : torch::autograd::Function<FusedNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& cos, const std::optional<Tensor>& sin, double eps) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Operands of(x, weight, cos.value_or(Tensor()), sin.value_or(Tensor()), at::result_type(weight, x), eps);
    context->save_for_backward({of.input, weight, of.cos, of.sin});
    context->saved_data["eps"] = eps;
    context->saved_data["out"] = static_cast<int64_t>(of.out);
    context->saved_data["wants_input"] = context->needs_input_grad(0);
    context->saved_data["wants_weight"] = context->needs_input_grad(1);
    return qwen_pt::forward(of);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "rms_norm and norm_rope have no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const Operands of(saved[0], saved[1], saved[2], saved[3], static_cast<at::ScalarType>(data["out"].toInt()),
                      data["eps"].toDouble());
    const Gradients grads =
        qwen_pt::backward(of, outputs[0], Tensor(), data["wants_input"].toBool(), data["wants_weight"].toBool());
    return {grads.input, grads.weight, Tensor(), Tensor(), Tensor()};
  }
};

struct FusedAddNorm : torch::autograd::Function<FusedAddNorm> {
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& residual, const Tensor& weight,
                               double eps) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Operands of(x, weight, {}, {}, at::result_type(weight, x), eps);
    const auto [sum, out] = addForward(of, residual);
    context->save_for_backward({sum, weight});
    context->saved_data["eps"] = eps;
    context->saved_data["out"] = static_cast<int64_t>(of.out);
    context->saved_data["wants_x"] = context->needs_input_grad(0);
    context->saved_data["wants_residual"] = context->needs_input_grad(1);
    context->saved_data["wants_weight"] = context->needs_input_grad(2);
    context->set_materialize_grads(false);
    return {sum, out};
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "add_rms_norm has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const bool wantsX = data["wants_x"].toBool(), wantsResidual = data["wants_residual"].toBool();
    Gradients grads{outputs[0], {}};
    if (outputs[1].defined()) {
      const Operands of(saved[0], saved[1], {}, {}, static_cast<at::ScalarType>(data["out"].toInt()),
                        data["eps"].toDouble());
      grads = qwen_pt::backward(of, outputs[1], outputs[0], wantsX || wantsResidual, data["wants_weight"].toBool());
    }
    return {wantsX ? grads.input : Tensor(), wantsResidual ? grads.input : Tensor(), grads.weight, Tensor()};
  }
};

bool isWatched(const Tensor& x, const Tensor& weight) {
  return c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
}

Tensor norm(const Tensor& x, const Tensor& weight, double eps) {
  if (!suitsNorm(x, weight)) return compositeNorm(x, weight, eps);
  return forward(Operands(x, weight, {}, {}, at::result_type(weight, x), eps));
}

Tensor autogradNorm(const Tensor& x, const Tensor& weight, double eps) {
  if (!suitsNorm(x, weight)) return compositeNorm(x, weight, eps);
  if (isWatched(x, weight)) return FusedNorm::apply(x, weight, std::optional<Tensor>(), std::optional<Tensor>(), eps);
  at::AutoDispatchBelowADInplaceOrView below;
  return norm(x, weight, eps);
}

std::tuple<Tensor, Tensor> addNorm(const Tensor& x, const Tensor& residual, const Tensor& weight, double eps) {
  if (!suitsAddNorm(x, residual, weight)) return composedAddNorm(x, residual, weight, eps);
  return addForward(Operands(x, weight, {}, {}, at::result_type(weight, x), eps), residual);
}

std::tuple<Tensor, Tensor> autogradAddNorm(const Tensor& x, const Tensor& residual, const Tensor& weight, double eps) {
  if (!suitsAddNorm(x, residual, weight)) return composedAddNorm(x, residual, weight, eps);
  if (isWatched(x, weight) || isWatched(residual, weight)) {
    const variable_list both = FusedAddNorm::apply(x, residual, weight, eps);
    return {both[0], both[1]};
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return addNorm(x, residual, weight, eps);
}

Tensor normRope(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps) {
  if (!suitsRope(x, weight, cos, sin)) return compositeRope(x, weight, cos, sin, eps);
  return forward(Operands(x, weight, cos, sin, at::result_type(weight, x), eps));
}

Tensor autogradNormRope(const Tensor& x, const Tensor& weight, const Tensor& cos, const Tensor& sin, double eps) {
  if (!suitsRope(x, weight, cos, sin)) return compositeRope(x, weight, cos, sin, eps);
  if (isWatched(x, weight)) {
    return FusedNorm::apply(x, weight, std::optional<Tensor>(cos), std::optional<Tensor>(sin), eps);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return normRope(x, weight, cos, sin, eps);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("fused_rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  library.def("fused_norm_rope(Tensor x, Tensor weight, Tensor cos, Tensor sin, float eps) -> Tensor");
  library.def("add_rms_norm(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor sum, Tensor normed)");
  library.def(
      "composite_add_rms_norm(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor sum, Tensor normed)",
      composedAddNorm);
}

// By name on any device that has kernels, the processor with an emulator among them; elsewhere composed.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("fused_rms_norm", norm);
  library.impl("fused_norm_rope", normRope);
  library.impl("add_rms_norm", addNorm);
}
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) {
  library.impl("fused_rms_norm", autogradNorm);
  library.impl("fused_norm_rope", autogradNormRope);
  library.impl("add_rms_norm", autogradAddNorm);
}
TORCH_LIBRARY_IMPL(qwen_pt, CUDA, library) {
  library.impl("rms_norm", norm);
  library.impl("norm_rope", normRope);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCUDA, library) {
  library.impl("rms_norm", autogradNorm);
  library.impl("norm_rope", autogradNormRope);
}
TORCH_LIBRARY_IMPL(qwen_pt, Meta, library) {
  library.impl("rms_norm", norm);
  library.impl("norm_rope", normRope);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradMeta, library) {
  library.impl("rms_norm", autogradNorm);
  library.impl("norm_rope", autogradNormRope);
}

}  // namespace qwen_pt

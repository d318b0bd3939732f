// One step of AdamW over one parameter, its moments in 32 or in 8 bits, as bitsandbytes 0.50 computes it on a processor:
//
//   adamw_step_(parameter, gradient, state, levels, settings) -> ()
//     state: two moments of the parameter's shape, float; or in codes of 8 bits, uint8, with a scale for 256 of them each:
//       [mean, square, mean's scales, square's scales]
//     levels: none; or the moments' 256 levels with what level_steps makes of them, [mean's, steps, square's, steps]
//     settings: rate, beta1, beta2, epsilon, weight decay, number of the step from 1
//   (level_steps of quantize.cc: the nearest code for each step from -1 to 1)
//
// Which parameters have codes, and where states lie, is lib/optim/adamw-bits.ts's. On the CPU a kernel goes over the numbers
// once, on a card cuda/adamw.cc's; elsewhere ATen operators do the same (composite_adamw_step_).

#include "adamw.h"

#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/index_select.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace qwen_pt {

using at::ArrayRef;
using at::Tensor;
using at::TensorList;

namespace {

constexpr int64_t kAdamwSteps = 65536;

AdamwMoment momentOf(TensorList state, TensorList levels, size_t index) {
  if (state.size() == 2) return {state[index].data_ptr<float>()};
  return {nullptr,
          state[index].data_ptr<uint8_t>(),
          state[index + 2].data_ptr<float>(),
          levels[2 * index].const_data_ptr<float>(),
          levels[2 * index + 1].const_data_ptr<uint8_t>(),
          reinterpret_cast<const uint16_t*>(levels[2 * index + 1].const_data_ptr<uint8_t>() + kAdamwSteps)};
}

/// Codes and scales as float, of the codes' shape.
Tensor decoded(const Tensor& codes, const Tensor& scales, const Tensor& levels) {
  const int64_t count = codes.numel(), whole = scales.numel() * kAdamwRun;
  Tensor numbers = at::index_select(levels, 0, codes.reshape({-1}).to(at::kInt));
  if (whole != count) numbers = at::constant_pad_nd(numbers, {0, whole - count});
  return (numbers.view({-1, kAdamwRun}) * scales.view({-1, 1})).view({-1}).narrow(0, 0, count).view(codes.sizes());
}

/// The nearest level's code, looked up by its step.
void encode(const Tensor& numbers, const Tensor& steps, const Tensor& codes, const Tensor& scales) {
  const int64_t count = numbers.numel(), whole = scales.numel() * kAdamwRun;
  Tensor flat = numbers.reshape({-1});
  if (whole != count) flat = at::constant_pad_nd(flat, {0, whole - count});
  const Tensor runs = flat.view({-1, kAdamwRun}), most = runs.abs().amax({1}, true);
  const Tensor scaled = (runs * most.reciprocal()).nan_to_num(0).clamp(-1, 1).add_(1).mul_(0.5);
  const Tensor places = scaled.to(at::kDouble).mul_(65535).add_(0.5).to(at::kFloat).to(at::kInt);
  const Tensor found = at::index_select(steps, 0, places.view({-1})).view(runs.sizes());
  scales.copy_(most.view({-1}));
  // a run of zeros has the first code, whatever it stands for
  codes.copy_(found.masked_fill(most.eq(0), 0).view({-1}).narrow(0, 0, count).view(codes.sizes()));
}

}  // namespace

void checkAdamw(const Tensor& parameter, const Tensor& gradient, TensorList state, TensorList levels) {
  TORCH_CHECK(gradient.sizes() == parameter.sizes() && gradient.scalar_type() == parameter.scalar_type(), "a gradient ",
              gradient.scalar_type(), " ", gradient.sizes(), " and a parameter ", parameter.scalar_type(), " ",
              parameter.sizes(), " do not belong together");
  const bool coded = state.size() == 4;
  TORCH_CHECK((coded && levels.size() == 4) || (state.size() == 2 && levels.empty()),
              "two moments in float, or two in codes with their scales and levels, are needed");
  for (size_t i = 0; i < state.size(); ++i) {
    const bool fits = i < 2 ? state[i].sizes() == parameter.sizes() : state[i].numel() == adamwRuns(parameter);
    TORCH_CHECK(fits && state[i].is_contiguous() && state[i].scalar_type() == (coded && i < 2 ? at::kByte : at::kFloat),
                "state ", i, " does not belong to a parameter ", parameter.sizes());
  }
  for (size_t i = 0; i < levels.size(); ++i) {
    const bool steps = i % 2 == 1;
    TORCH_CHECK(levels[i].is_contiguous() && levels[i].scalar_type() == (steps ? at::kByte : at::kFloat) &&
                    levels[i].numel() == (steps ? kAdamwSteps + 512 : 256),
                "256 levels of float32 and what level_steps makes of them are needed");
  }
}

void composedAdamw(const Tensor& parameter, const Tensor& gradient, TensorList state, TensorList levels,
                   ArrayRef<double> given) {
  checkAdamw(parameter, gradient, state, levels);
  const AdamwSettings of(given);
  const bool coded = state.size() == 4;
  const Tensor mean = coded ? decoded(state[0], state[2], levels[0]) : state[0];
  const Tensor square = coded ? decoded(state[1], state[3], levels[2]) : state[1];
  const Tensor g = gradient.to(at::kFloat);
  Tensor weight = parameter.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  mean.mul_(of.beta1).add_(g, 1 - of.beta1);
  square.mul_(of.beta2).addcmul_(g, g, 1 - of.beta2);
  if (of.decay > 0) weight.mul_(1 - of.rate * of.decay);
  if (coded) {
    weight.addcdiv_(mean, (square.sqrt() / of.correction2).add_(of.eps), -of.rate / of.correction1);
    encode(mean, levels[1], state[0], state[2]);
    encode(square, levels[3], state[1], state[3]);
  } else {
    weight.add_(mean / (square.sqrt() + of.eps * of.correction2), -of.rate * of.correction2 / of.correction1);
  }
  parameter.copy_(weight);
}

namespace {

void onCpu(const Tensor& parameter, const Tensor& gradient, TensorList state, TensorList levels,
           ArrayRef<double> given) {
  const auto dtype = parameter.scalar_type();
  if ((dtype != at::kFloat && dtype != at::kBFloat16 && dtype != at::kHalf) || !parameter.is_contiguous())
    return composedAdamw(parameter, gradient, state, levels, given);
  checkAdamw(parameter, gradient, state, levels);
  const AdamwSettings of(given);
  const Tensor numbers = gradient.contiguous();
  AdamwProblem problem{};
  problem.dtype = dtype;
  problem.count = parameter.numel();
  problem.parameter = parameter.data_ptr();
  problem.gradient = numbers.const_data_ptr();
  problem.mean = momentOf(state, levels, 0);
  problem.square = momentOf(state, levels, 1);
  problem.beta1 = of.beta1;
  problem.beta2 = of.beta2;
  problem.eps = of.eps;
  problem.kept = of.decay > 0 ? 1 - of.rate * of.decay : 1;
  problem.rate = -of.rate;
  problem.correction1 = of.correction1;
  problem.correction2 = of.correction2;
  at::parallel_for(0, adamwRuns(parameter), 64,
                   [&](int64_t first, int64_t end) { vectorKernels().adamw.runs(problem, first, end); });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "adamw_step_(Tensor(a!) parameter, Tensor gradient, Tensor(b!)[] state, Tensor[] levels, float[] settings) -> "
      "()");
  library.def(
      "composite_adamw_step_(Tensor(a!) parameter, Tensor gradient, Tensor(b!)[] state, Tensor[] levels, float[] "
      "settings) -> ()",
      composedAdamw);
}

TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) { library.impl("adamw_step_", composedAdamw); }
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) { library.impl("adamw_step_", onCpu); }

}  // namespace qwen_pt

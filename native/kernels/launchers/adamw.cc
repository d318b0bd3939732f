// A step of AdamW by the kernels of adamw.cu: one launch a parameter, whether its moments have 8 bits or 32. The operator is
// kernels/rows/adamw.cc's.

#include "kernels/rows/adamw.h"

#include "accelerator/kernels.h"

#include <torch/library.h>

#include <string>

namespace qwen_pt {

namespace {

using at::Tensor;
using at::TensorList;

bool suits(const Tensor& parameter, TensorList state) {
  if (!hasKernels(parameter) || kernelSuffix(parameter.scalar_type()).empty() || !parameter.is_contiguous())
    return false;
  for (const Tensor& each : state) {
    if (each.device() != parameter.device()) return false;
  }
  return adamwRuns(parameter) < (int64_t{1} << 31);
}

void step(const Tensor& parameter, const Tensor& gradient, TensorList state, TensorList levels,
          at::ArrayRef<double> given) {
  if (!suits(parameter, state)) return composedAdamw(parameter, gradient, state, levels, given);
  checkAdamw(parameter, gradient, state, levels);
  const AdamwSettings of(given);
  const Tensor numbers = gradient.contiguous();
  const auto f = [](double x) { return static_cast<float>(x); };
  const bool coded = state.size() == 4;
  // what is corrected, as adamw_runs.h says
  const float kept = f(of.decay > 0 ? 1 - of.rate * of.decay : 1), root = f(of.correction2);
  const float eps = f(coded ? of.eps : of.eps * of.correction2);
  const float share = f(coded ? -of.rate / of.correction1 : -of.rate * of.correction2 / of.correction1);
  const float beta1 = f(of.beta1), rest1 = f(1 - of.beta1), beta2 = f(of.beta2), rest2 = f(1 - of.beta2);
  const Grid grid{static_cast<unsigned>(adamwRuns(parameter)), kAdamwRun};
  const std::string suffix = kernelSuffix(parameter.scalar_type());
  if (coded) {
    launch(parameter, "adamw", "adamw_8bit_" + suffix, grid, parameter.data_ptr(), numbers.const_data_ptr(),
           state[0].data_ptr(), state[1].data_ptr(), state[2].data_ptr(), state[3].data_ptr(),
           levels[0].const_data_ptr(), levels[1].const_data_ptr(), levels[2].const_data_ptr(),
           levels[3].const_data_ptr(), parameter.numel(), beta1, rest1, beta2, rest2, kept, root, eps, share);
  } else {
    launch(parameter, "adamw", "adamw_32bit_" + suffix, grid, parameter.data_ptr(), numbers.const_data_ptr(),
           state[0].data_ptr(), state[1].data_ptr(), parameter.numel(), beta1, rest1, beta2, rest2, kept, root, eps,
           share);
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "fused_adamw_step_(Tensor(a!) parameter, Tensor gradient, Tensor(b!)[] state, Tensor[] levels, float[] settings) "
      "-> ()");
}

// By name on any device that has kernels, the processor with an emulator among them; elsewhere composed.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) { library.impl("fused_adamw_step_", step); }
TORCH_LIBRARY_IMPL(qwen_pt, CUDA, library) { library.impl("adamw_step_", step); }
TORCH_LIBRARY_IMPL(qwen_pt, Meta, library) { library.impl("adamw_step_", step); }

}  // namespace qwen_pt

// The language model's head and its loss in one operator, a chunk of rows at a time, so that the full logits
// [tokens, vocabulary] never exist. Gradients are made in the forward pass, while a chunk's logits are at hand;
// backward only scales them. Composed of ATen operators, so it runs on every device; of those that have a meta kernel
// in C++ (`where` has none), so it runs on meta too.
//
// Numerically what transformers computes under autocast: logits in the hidden states' dtype, then float32
// log-softmax and negative log-likelihood, summed and multiplied by `scale` (1 / number of labels in the
// accumulation window). d loss / d logits = (softmax - onehot) * scale, cast back to the logits' dtype.

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

namespace qwen_pt {

namespace {

// Rows whose float32 logits fit the budget, at least 1.
int64_t rowsPerChunk(const at::Tensor& weight, int64_t rows, int64_t chunkBytes) {
  const int64_t perRow = weight.size(0) * static_cast<int64_t>(sizeof(float));
  return std::clamp<int64_t>(chunkBytes / std::max<int64_t>(perRow, 1), 1, std::max<int64_t>(rows, 1));
}

struct Gradients {
  at::Tensor hidden;  // [rows, d], the hidden states' dtype
  at::Tensor weight;  // [vocabulary, d], float32 or wider
};

// hidden [rows, d], weight [vocabulary, d], target [rows] int64. Adds up sum(nll) * scale over labelled rows.
at::Tensor run(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& target, double scale,
               int64_t ignoreIndex, int64_t chunkBytes, Gradients* gradients) {
  TORCH_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1),
              "hidden must be [rows, d] and weight [vocabulary, d], got ", hidden.sizes(), " and ", weight.sizes());
  TORCH_CHECK(target.dim() == 1 && target.size(0) == hidden.size(0), "target must be [rows], got ", target.sizes());
  TORCH_CHECK(hidden.scalar_type() == weight.scalar_type(), "hidden is ", hidden.scalar_type(), " and weight ",
              weight.scalar_type(), ": cast one of them");
  const auto wide = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const int64_t rows = hidden.size(0);
  const int64_t step = rowsPerChunk(weight, rows, chunkBytes);
  at::Tensor loss = at::zeros({}, hidden.options().dtype(wide));
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    const at::Tensor x = hidden.narrow(0, start, count);
    const at::Tensor label = target.narrow(0, start, count);
    const at::Tensor ignored = label.eq(ignoreIndex);                       // [count] bool
    const at::Tensor index = label.masked_fill(ignored, 0).unsqueeze(1);    // [count, 1]
    at::Tensor logits = at::mm(x, weight.t()).to(wide);                     // [count, vocabulary]
    logits.sub_(logits.amax(1, /*keepdim=*/true));
    const at::Tensor picked = logits.gather(1, index).squeeze(1);
    logits.exp_();
    const at::Tensor denominator = logits.sum(1);                           // [count]
    loss.add_((denominator.log() - picked).masked_fill_(ignored, 0).sum(), scale);
    if (!gradients) continue;
    const at::Tensor factor = (scale / denominator).masked_fill_(ignored, 0).unsqueeze(1);
    logits.mul_(factor);                                                    // softmax * scale, 0 where not counted
    logits.scatter_add_(1, index, at::full_like(factor, -scale).masked_fill_(ignored.unsqueeze(1), 0));
    const at::Tensor dLogits = logits.to(hidden.scalar_type());
    if (gradients->hidden.defined()) gradients->hidden.narrow(0, start, count).copy_(at::mm(dLogits, weight));
    if (gradients->weight.defined()) gradients->weight.add_(at::mm(dLogits.t(), x));
  }
  return loss;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& weight,
                            const at::Tensor& target, double scale, int64_t ignoreIndex, int64_t chunkBytes) {
    at::AutoDispatchBelowADInplaceOrView below;
    Gradients gradients;
    if (context->needs_input_grad(0)) gradients.hidden = at::empty_like(hidden);
    if (context->needs_input_grad(1)) {
      const auto wide = weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
      gradients.weight = at::zeros_like(weight, weight.options().dtype(wide));
    }
    at::Tensor loss = run(hidden, weight, target, scale, ignoreIndex, chunkBytes, &gradients);
    context->save_for_backward({gradients.hidden, gradients.weight});
    context->saved_data["dtype"] = static_cast<int64_t>(weight.scalar_type());
    return loss;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    // The gradients were made below autograd: a graph of this pass would lack them without a word.
    TORCH_CHECK(!c10::GradMode::is_enabled(), "linear_cross_entropy has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const at::Tensor& dLoss = outputs[0];
    at::Tensor hidden, weight;
    if (saved[0].defined()) hidden = saved[0] * dLoss.to(saved[0].scalar_type());
    if (saved[1].defined()) {
      weight = (saved[1] * dLoss).to(static_cast<at::ScalarType>(context->saved_data["dtype"].toInt()));
    }
    return {hidden, weight, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor linearCrossEntropyForward(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& target,
                                     double scale, int64_t ignoreIndex, int64_t chunkBytes) {
  return run(hidden, weight, target, scale, ignoreIndex, chunkBytes, nullptr);
}

at::Tensor linearCrossEntropyAutograd(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& target,
                                      double scale, int64_t ignoreIndex, int64_t chunkBytes) {
  if (!c10::GradMode::is_enabled() || !(hidden.requires_grad() || weight.requires_grad())) {
    at::AutoDispatchBelowADInplaceOrView below;
    return run(hidden, weight, target, scale, ignoreIndex, chunkBytes, nullptr);
  }
  return LinearCrossEntropy::apply(hidden, weight, target, scale, ignoreIndex, chunkBytes);
}

}  // namespace

TORCH_LIBRARY(qwen_pt, library) {
  library.def(
      "linear_cross_entropy(Tensor hidden, Tensor weight, Tensor target, float scale=1.0, int ignore_index=-100, "
      "int chunk_bytes=268435456) -> Tensor");
}

// Both keys: a forward that stood alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("linear_cross_entropy", linearCrossEntropyForward);
}
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) {
  library.impl("linear_cross_entropy", linearCrossEntropyAutograd);
}

}  // namespace qwen_pt

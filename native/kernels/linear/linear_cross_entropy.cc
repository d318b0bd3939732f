// The language model's head and its loss in one operator, a chunk of rows at a time, so that the full logits
// [tokens, vocabulary] never exist. Gradients are made in the forward pass, while a chunk's logits are at hand;
// backward only scales them.
//
//   linear_cross_entropy(hidden [rows, d], weight [vocabulary, d], target [rows]) -> loss []
//   linear_cross_entropy_into(the same, weight_grad [vocabulary, d]): the weight's gradient is added there at once, in
//     the forward pass; the weight may be wider than the hidden states
//
// Numerically what transformers computes under autocast: logits in the hidden states' dtype, then float32
// log-softmax and negative log-likelihood, summed and multiplied by `scale` (1 / number of labels in the
// accumulation window). d loss / d logits = (softmax - onehot) * scale, cast back to the logits' dtype.
//
// On the CPU, but for float32, the logits become gradients in their own place (cross_entropy_rows.h) and rows without a
// label cost nothing; an accelerator does the same by one kernel a chunk (cuda/cross_entropy.cc), on meta its shapes;
// elsewhere ATen operators do it.

#include "linear_cross_entropy.h"
#include "kernels/vector_kernels.h"
#include "products/frozen_product.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;

/// Rows of the vocabulary whose gradients exist beside the table that they are added to.
constexpr int64_t kTableRows = 8192;

using Request = CrossEntropyRequest;
using Gradients = CrossEntropyGradients;

/// What computes: ATen operators alone, the processor's kernel, an accelerator's.
enum class Way { kAten, kHost, kDevice };

void check(const Tensor& hidden, const Tensor& weight, const Tensor& target) {
  TORCH_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1),
              "hidden must be [rows, d] and weight [vocabulary, d], got ", hidden.sizes(), " and ", weight.sizes());
  TORCH_CHECK(target.dim() == 1 && target.size(0) == hidden.size(0), "target must be [rows], got ", target.sizes());
  TORCH_CHECK(at::isIntegralType(target.scalar_type(), /*includeBool=*/false), "target must be of integers, got ",
              target.scalar_type());
  TORCH_CHECK(hidden.device() == weight.device() && hidden.device() == target.device(), "hidden is on ",
              hidden.device(), ", weight on ", weight.device(), " and target on ", target.device());
}

void checkAlike(const Tensor& hidden, const Tensor& weight) {
  TORCH_CHECK(hidden.scalar_type() == weight.scalar_type(), "hidden is ", hidden.scalar_type(), " and weight ",
              weight.scalar_type(), ": cast one of them");
}

at::ScalarType wideOf(const Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace

int64_t rowsPerChunk(const Request& of, int64_t rows, int64_t bytesPerLogit) {
  const int64_t perRow = std::max<int64_t>(of.weight.size(0) * bytesPerLogit, 1);
  const int64_t most = std::max<int64_t>(of.chunkBytes / perRow, 1);
  const int64_t chunks = std::max<int64_t>((rows + most - 1) / most, 1);
  return std::max<int64_t>((rows + chunks - 1) / chunks, 1);
}

void addToTable(const Tensor& table, const Tensor& dLogits, const Tensor& x) {
  for (int64_t first = 0; first < table.size(0); first += kTableRows) {
    const int64_t count = std::min(kTableRows, table.size(0) - first);
    table.narrow(0, first, count).add_(at::mm(dLogits.narrow(1, first, count).t(), x));
  }
}

namespace {

/// Adds up sum(nll) * scale over labelled rows, of ATen operators that have a meta kernel in C++.
Tensor composite(const Request& of, Gradients* gradients) {
  const auto& [hidden, weight, target, scale, ignoreIndex, chunkBytes, frozen] = of;
  const auto wide = wideOf(hidden);
  const int64_t rows = hidden.size(0);
  const int64_t step = rowsPerChunk(of, rows, sizeof(float));
  Tensor loss = at::zeros({}, hidden.options().dtype(wide));
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    const Tensor x = hidden.narrow(0, start, count);
    const Tensor label = target.narrow(0, start, count);
    const Tensor ignored = label.eq(ignoreIndex);                     // [count] bool
    const Tensor index = label.masked_fill(ignored, 0).unsqueeze(1);  // [count, 1]
    Tensor logits = at::mm(x, weight.t()).to(wide);                   // [count, vocabulary]
    logits.sub_(logits.amax(1, /*keepdim=*/true));
    const Tensor picked = logits.gather(1, index).squeeze(1);
    logits.exp_();
    const Tensor denominator = logits.sum(1);  // [count]
    loss.add_((denominator.log() - picked).masked_fill_(ignored, 0).sum(), scale);
    if (!gradients) continue;
    const Tensor factor = (scale / denominator).masked_fill_(ignored, 0).unsqueeze(1);
    logits.mul_(factor);  // softmax * scale, 0 where not counted
    logits.scatter_add_(1, index, at::full_like(factor, -scale).masked_fill_(ignored.unsqueeze(1), 0));
    const Tensor dLogits = logits.to(hidden.scalar_type());
    if (gradients->hidden.defined()) gradients->hidden.narrow(0, start, count).copy_(at::mm(dLogits, weight));
    if (gradients->weight.defined()) addToTable(gradients->weight, dLogits, x);
  }
  return loss;
}

/// The rows that have a label.
std::vector<int64_t> labelledRows(const Request& of) {
  std::vector<int64_t> rows;
  const auto* label = of.target.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < of.target.size(0); ++row) {
    if (label[row] == of.ignoreIndex) continue;
    TORCH_CHECK_INDEX(label[row] >= 0 && label[row] < of.weight.size(0), "target ", label[row], " of row ", row,
                      " is out of bounds: the vocabulary has ", of.weight.size(0));
    rows.push_back(row);
  }
  return rows;
}

Tensor onCpu(const Request& given, Gradients* gradients) {
  const Tensor target = given.target.to(at::kLong).contiguous();
  const Request of{given.hidden, given.weight, target, given.scale, given.ignoreIndex, given.chunkBytes, given.frozen};
  std::vector<int64_t> places = labelledRows(of);
  const int64_t rows = static_cast<int64_t>(places.size());
  Tensor loss = at::zeros({}, of.hidden.options().dtype(wideOf(of.hidden)));
  const bool all = rows == of.target.size(0);
  const Tensor place = at::empty({rows}, target.options());
  std::copy(places.begin(), places.end(), place.data_ptr<int64_t>());
  const Tensor hidden = all ? of.hidden : of.hidden.index_select(0, place);
  const Tensor labels = all ? target : target.index_select(0, place);
  Tensor dHidden;
  if (gradients && gradients->hidden.defined()) dHidden = all ? gradients->hidden : at::empty_like(hidden);
  const int64_t step = rowsPerChunk(of, rows, of.hidden.element_size());
  const Tensor memory = at::empty({std::min(step, rows), of.weight.size(0)}, of.hidden.options());
  std::vector<double> losses(rows);
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    const Tensor x = hidden.narrow(0, start, count);
    Tensor logits = memory.narrow(0, 0, count);
    if (of.frozen) {
      frozenForward(x, of.weight, logits);
    } else {
      at::mm_out(logits, x, of.weight.t());
    }
    const CrossEntropyProblem problem{logits.scalar_type(),
                                      of.weight.size(0),
                                      logits.data_ptr(),
                                      labels.const_data_ptr<int64_t>() + start,
                                      of.scale,
                                      gradients != nullptr,
                                      losses.data() + start};
    at::parallel_for(0, count, 1,
                     [&](int64_t first, int64_t end) { vectorKernels().crossEntropy.rows(problem, first, end); });
    if (!gradients) continue;
    if (dHidden.defined()) {
      Tensor into = dHidden.narrow(0, start, count);
      at::mm_out(into, logits, of.weight);
    }
    if (gradients->weight.defined()) addToTable(gradients->weight, logits, x);
  }
  if (dHidden.defined() && !all) gradients->hidden.zero_().index_copy_(0, place, dHidden);
  loss.fill_(std::accumulate(losses.begin(), losses.end(), 0.0) * of.scale);
  return loss;
}

/// By the kernel, or by ATen operators alone.
template <Way way>
Tensor run(const Request& of, Gradients* gradients) {
  if constexpr (way == Way::kDevice) {
    return suitsFusedCrossEntropy(of) ? fusedCrossEntropy(of, gradients) : composite(of, gradients);
  }
  // float32 keeps PyTorch's own operators: some recipes magnify even the last rounding over their steps
  const auto dtype = of.hidden.scalar_type();
  const bool hasKernel = dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf;
  return way == Way::kHost && hasKernel ? onCpu(of, gradients) : composite(of, gradients);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <Way way>
struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy<way>> {
  /// With a table the weight's gradient goes there, and none is sent back.
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight, const Tensor& target,
                        double scale, int64_t ignoreIndex, int64_t chunkBytes, const std::optional<Tensor>& table) {
    at::AutoDispatchBelowADInplaceOrView below;
    Gradients gradients;
    if (context->needs_input_grad(0)) gradients.hidden = at::empty_like(hidden);
    if (table) {
      gradients.weight = *table;
    } else if (context->needs_input_grad(1)) {
      gradients.weight = at::zeros_like(weight, weight.options().dtype(wideOf(weight)));
    }
    const Tensor narrow = weight.to(hidden.scalar_type());
    const bool frozen = !table && !context->needs_input_grad(1);
    const Request request{hidden, narrow, target, scale, ignoreIndex, chunkBytes, frozen};
    const Tensor loss = run<way>(request, &gradients);
    context->save_for_backward({gradients.hidden, table ? Tensor() : gradients.weight});
    context->saved_data["dtype"] = static_cast<int64_t>(weight.scalar_type());
    return loss;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    // The gradients were made below autograd: a graph of this pass would lack them without a word.
    TORCH_CHECK(!c10::GradMode::is_enabled(), "linear_cross_entropy has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const Tensor& dLoss = outputs[0];
    Tensor hidden, weight;
    if (saved[0].defined()) hidden = saved[0] * dLoss.to(saved[0].scalar_type());
    if (saved[1].defined()) {
      weight = (saved[1] * dLoss).to(static_cast<at::ScalarType>(context->saved_data["dtype"].toInt()));
    }
    return {hidden, weight, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

template <Way way>
Tensor forwardOnly(const Tensor& hidden, const Tensor& weight, const Tensor& target, double scale, int64_t ignoreIndex,
                   int64_t chunkBytes) {
  check(hidden, weight, target);
  checkAlike(hidden, weight);
  return run<way>({hidden, weight, target, scale, ignoreIndex, chunkBytes, !weight.requires_grad()}, nullptr);
}

template <Way way>
Tensor withGradient(const Tensor& hidden, const Tensor& weight, const Tensor& target, double scale, int64_t ignoreIndex,
                    int64_t chunkBytes) {
  check(hidden, weight, target);
  checkAlike(hidden, weight);
  if (c10::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad()))
    return LinearCrossEntropy<way>::apply(hidden, weight, target, scale, ignoreIndex, chunkBytes,
                                          std::optional<Tensor>());
  at::AutoDispatchBelowADInplaceOrView below;
  return run<way>({hidden, weight, target, scale, ignoreIndex, chunkBytes, !weight.requires_grad()}, nullptr);
}

template <Way way>
Tensor into(const Tensor& hidden, const Tensor& weight, const Tensor& target, double scale, int64_t ignoreIndex,
            int64_t chunkBytes, const Tensor& table) {
  check(hidden, weight, target);
  TORCH_CHECK(table.sizes() == weight.sizes() && table.scalar_type() == wideOf(table), "weight_grad must be float32 ",
              weight.sizes(), " (float64 for float64), got ", table.scalar_type(), " ", table.sizes());
  if (!c10::GradMode::is_enabled() || !hidden.requires_grad()) {
    at::AutoDispatchBelowADInplaceOrView below;
    Gradients gradients{Tensor(), table};
    return run<way>({hidden, weight.to(hidden.scalar_type()), target, scale, ignoreIndex, chunkBytes, false},
                    &gradients);
  }
  return LinearCrossEntropy<way>::apply(hidden, weight.detach(), target, scale, ignoreIndex, chunkBytes,
                                        std::optional<Tensor>(table.detach()));
}

}  // namespace

TORCH_LIBRARY(qwen_pt, library) {
  library.def(
      "linear_cross_entropy(Tensor hidden, Tensor weight, Tensor target, float scale=1.0, int ignore_index=-100, "
      "int chunk_bytes=268435456) -> Tensor");
  library.def(
      "composite_linear_cross_entropy(Tensor hidden, Tensor weight, Tensor target, float scale=1.0, "
      "int ignore_index=-100, int chunk_bytes=268435456) -> Tensor");
  library.def(
      "fused_linear_cross_entropy(Tensor hidden, Tensor weight, Tensor target, float scale=1.0, "
      "int ignore_index=-100, int chunk_bytes=268435456) -> Tensor");
  library.def(
      "linear_cross_entropy_into(Tensor hidden, Tensor weight, Tensor target, float scale, int ignore_index, "
      "int chunk_bytes, Tensor(a!) weight_grad) -> Tensor");
}

// Both keys on each: a forward that stood alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("linear_cross_entropy", forwardOnly<Way::kAten>);
  library.impl("composite_linear_cross_entropy", forwardOnly<Way::kAten>);
  library.impl("fused_linear_cross_entropy", forwardOnly<Way::kDevice>);
  library.impl("linear_cross_entropy_into", into<Way::kAten>);
}
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) {
  library.impl("linear_cross_entropy", withGradient<Way::kAten>);
  library.impl("composite_linear_cross_entropy", withGradient<Way::kAten>);
  library.impl("fused_linear_cross_entropy", withGradient<Way::kDevice>);
  library.impl("linear_cross_entropy_into", into<Way::kAten>);
}
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("linear_cross_entropy", forwardOnly<Way::kHost>);
  library.impl("linear_cross_entropy_into", into<Way::kHost>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCPU, library) {
  library.impl("linear_cross_entropy", withGradient<Way::kHost>);
  library.impl("linear_cross_entropy_into", into<Way::kHost>);
}
TORCH_LIBRARY_IMPL(qwen_pt, CUDA, library) {
  library.impl("linear_cross_entropy", forwardOnly<Way::kDevice>);
  library.impl("linear_cross_entropy_into", into<Way::kDevice>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCUDA, library) {
  library.impl("linear_cross_entropy", withGradient<Way::kDevice>);
  library.impl("linear_cross_entropy_into", into<Way::kDevice>);
}
TORCH_LIBRARY_IMPL(qwen_pt, Meta, library) {
  library.impl("linear_cross_entropy", forwardOnly<Way::kDevice>);
  library.impl("linear_cross_entropy_into", into<Way::kDevice>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradMeta, library) {
  library.impl("linear_cross_entropy", withGradient<Way::kDevice>);
  library.impl("linear_cross_entropy_into", into<Way::kDevice>);
}

}  // namespace qwen_pt

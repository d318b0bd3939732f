// Causal attention with grouped queries over whole sequences or over documents packed into them.
//
//   causal_attention(query [batch, seq, heads, dim], key, value [batch, seq, kvHeads, dim], cu_seqlens?, scale?, longest?)
//     -> [batch, seq, heads, dim]
//
// cu_seqlens: int32 [documents + 1], where each document starts among the batch * seq tokens, then their number.
// A token sees its own document up to itself. Without it every row of the batch is one document.
// longest: no document has more tokens. An accelerator, which does not look into cu_seqlens, takes it for granted and
// does less where it is given; the processor looks.
//
// Here the operators and the CPU's own kernel (attention_forward.h, attention_backward.h); elsewhere ATen operators
// (accelerator/attention.cc, attention_operands.cc).

#include "attention_operands.h"
#include "tensors/placement.h"
#include "vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// A part is worth its packing from about this many tokens on.
constexpr int64_t kBlock = 96;
/// A part's share of the queries' gradients may take so much memory, over all parts.
constexpr int64_t kPartialBytes = int64_t{256} << 20;

// On the CPU.

/// [batch, seq, heads, dim] whose tokens lie at one distance from each other, elements of a head side by side.
Tensor evenlySpaced(const Tensor& x) {
  const bool isDense = x.stride(3) == 1 || x.size(3) == 1;
  const bool isOne = x.size(0) == 1 || x.size(1) == 1;
  return isDense && (isOne || x.stride(0) == x.size(1) * x.stride(1)) ? x : x.contiguous();
}

/// A dimension of one has any stride: of rows of one token, the distance is that of the rows.
HeadRows rowsOf(const Tensor& x) { return {x.data_ptr(), x.size(1) == 1 ? x.stride(0) : x.stride(1), x.stride(2)}; }

struct Setting {
  std::vector<int64_t> bounds;
  AttentionProblem problem;

  Setting(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens, double scale,
          std::optional<int64_t> longest = std::nullopt)
      : bounds(documentBounds(query, cuSeqlens, longest)), problem{} {
    problem.dtype = query.scalar_type();
    problem.tokens = query.size(0) * query.size(1);
    problem.heads = query.size(2);
    problem.kvHeads = key.size(2);
    problem.dim = query.size(3);
    problem.scale = scale;
    problem.bounds = bounds.data();
    problem.sequences = static_cast<int64_t>(bounds.size()) - 1;
    for (size_t i = 1; i < bounds.size(); ++i) problem.longest = std::max(problem.longest, bounds[i] - bounds[i - 1]);
    problem.query = rowsOf(query);
    problem.key = rowsOf(key);
    problem.value = rowsOf(value);
  }

  int64_t tasks() const { return problem.kvHeads * problem.parts; }

  /// Enough parts to keep every thread busy to the end, and no more.
  void deal(int64_t most) {
    const int64_t threads = at::get_num_threads();
    if (problem.kvHeads % threads == 0) return;
    const int64_t wanted = (2 * threads + problem.kvHeads - 1) / problem.kvHeads;
    problem.parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(most, 1));
  }
};

using Work = void (*)(const AttentionProblem&, int64_t, int64_t, char*);

void runInParallel(const AttentionProblem& problem, int64_t tasks, int64_t scratchBytes, Work work) {
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t end) {
    const Tensor scratch = at::empty({scratchBytes + 64}, at::TensorOptions().dtype(at::kByte));
    auto* memory = static_cast<char*>(scratch.data_ptr());
    work(problem, first, end, memory + (64 - reinterpret_cast<uintptr_t>(memory) % 64) % 64);
  });
}

void checkForKernel(const Tensor& query, double scale) {
  const auto dtype = query.scalar_type();
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf,
              "causal_attention takes float32, float64, bfloat16 and float16, not ", dtype);
  TORCH_CHECK(scale > 0, "scale must be above 0, not ", scale);
}

at::ScalarType sumsDtype(const Tensor& query) { return query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

/// What an earlier pass is said to have computed: the kernel goes by pointers and would read past anything else.
void checkGiven(const char* what, const Tensor& given, at::IntArrayRef sizes, at::ScalarType dtype) {
  TORCH_CHECK(given.sizes() == sizes && given.scalar_type() == dtype && isOnHost(given), "the given ", what, " is ",
              given.scalar_type(), " ", given.sizes(), " on ", given.device(), ", not ", dtype, " ", sizes, " on cpu");
}

struct Forward {
  Tensor out, logsumexp;
};

Forward forwardOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                     double scale, std::optional<int64_t> longest) {
  checkForKernel(query, scale);
  Setting setting(query, key, value, cuSeqlens, scale, longest);
  auto& problem = setting.problem;
  Forward result{at::empty(query.sizes(), query.options()),
                 at::empty({problem.heads, problem.tokens}, query.options().dtype(sumsDtype(query)))};
  if (query.numel() == 0) return result;
  problem.out = rowsOf(result.out);
  problem.logsumexp = result.logsumexp.data_ptr();
  setting.deal(problem.tokens / kBlock);
  const auto& kernel = vectorKernels().attention;
  runInParallel(problem, setting.tasks(), kernel.forwardScratch(problem), kernel.forward);
  return result;
}

struct Backward {
  Tensor query, key, value;
};

Backward backwardOnCpu(const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value,
                       const Forward& forward, const OptionalTensor& cuSeqlens, double scale) {
  Setting setting(query, key, value, cuSeqlens, scale);
  auto& problem = setting.problem;
  Backward result{at::empty(query.sizes(), query.options()), at::empty(key.sizes(), key.options()),
                  at::empty(value.sizes(), value.options())};
  if (query.numel() == 0) return result;
  problem.out = rowsOf(forward.out);
  problem.logsumexp = forward.logsumexp.data_ptr();
  problem.dOut = rowsOf(grad);
  problem.dQuery = rowsOf(result.query);
  problem.dKey = rowsOf(result.key);
  problem.dValue = rowsOf(result.value);
  const auto& kernel = vectorKernels().attention;
  const int64_t partBytes = kernel.partialSize(problem) * forward.logsumexp.element_size();
  setting.deal(std::min(problem.tokens / (2 * kBlock), kPartialBytes / std::max<int64_t>(partBytes, 1)));
  Tensor partial;
  if (problem.parts > 1) {
    partial = at::zeros({problem.parts, kernel.partialSize(problem)}, forward.logsumexp.options());
    problem.partial = partial.data_ptr();
  }
  const int64_t scratch = kernel.backwardScratch(problem);
  runInParallel(problem, setting.tasks(), scratch, kernel.backward);
  if (problem.parts > 1) runInParallel(problem, problem.heads, scratch, kernel.join);
  return result;
}

Tensor onCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
             std::optional<double> scale, std::optional<int64_t> longest) {
  checkAttention(query, key, value, cuSeqlens);
  return forwardOnCpu(evenlySpaced(query), evenlySpaced(key), evenlySpaced(value), cuSeqlens,
                      attentionScale(scale, query), longest)
      .out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  /// `given`: the results of an earlier pass over the same operands.
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        const OptionalTensor& cuSeqlens, double scale, std::optional<int64_t> longest,
                        const OptionalTensor& givenOut, const OptionalTensor& givenSums) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Tensor q = evenlySpaced(query), k = evenlySpaced(key), v = evenlySpaced(value);
    const Forward result = givenOut ? Forward{at::alias(*givenOut), givenSums->contiguous()}
                                    : forwardOnCpu(q, k, v, cuSeqlens, scale, longest);
    context->save_for_backward({q, k, v, evenlySpaced(result.out), result.logsumexp, cuSeqlens.value_or(Tensor())});
    context->saved_data["scale"] = scale;
    return result.out;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "causal_attention has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const OptionalTensor cuSeqlens = saved[5].defined() ? OptionalTensor(saved[5]) : std::nullopt;
    Backward grads = backwardOnCpu(evenlySpaced(outputs[0]), saved[0], saved[1], saved[2], {saved[3], saved[4]},
                                   cuSeqlens, context->saved_data["scale"].toDouble());
    return {grads.query, grads.key, grads.value, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor autogradOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                     std::optional<double> scale, std::optional<int64_t> longest) {
  if (!c10::GradMode::is_enabled() || !(query.requires_grad() || key.requires_grad() || value.requires_grad())) {
    at::AutoDispatchBelowADInplaceOrView below;
    return onCpu(query, key, value, cuSeqlens, scale, longest);
  }
  checkAttention(query, key, value, cuSeqlens);
  return CausalAttention::apply(query, key, value, cuSeqlens, attentionScale(scale, query), longest, OptionalTensor(),
                                OptionalTensor());
}

// Attention whose result a second pass takes from the first: what is kept of it is the result and, where the backward
// pass asks for them, the logarithms of the rows' sums.

using Results = std::tuple<Tensor, Tensor>;

Results keptOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                  std::optional<double> scale, std::optional<int64_t> longest) {
  checkAttention(query, key, value, cuSeqlens);
  const Forward result = forwardOnCpu(evenlySpaced(query), evenlySpaced(key), evenlySpaced(value), cuSeqlens,
                                      attentionScale(scale, query), longest);
  return {result.out, result.logsumexp};
}

Tensor recalledOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
                     const Tensor& logsumexp, const OptionalTensor& cuSeqlens, std::optional<double> scale,
                     std::optional<int64_t> longest) {
  checkAttention(query, key, value, cuSeqlens);
  checkForKernel(query, attentionScale(scale, query));
  checkGiven("result", out, query.sizes(), query.scalar_type());
  checkGiven("logsumexp", logsumexp, {query.size(2), query.size(0) * query.size(1)}, sumsDtype(query));
  return CausalAttention::apply(query, key, value, cuSeqlens, attentionScale(scale, query), longest,
                                OptionalTensor(out), OptionalTensor(logsumexp));
}

/// Under autocast, in its dtype: what libtorch does for its own attention.
template <c10::DispatchKey key, c10::DeviceType device>
Tensor underAutocast(const Tensor& query, const Tensor& keys, const Tensor& value, const OptionalTensor& cuSeqlens,
                     std::optional<double> scale, std::optional<int64_t> longest) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention", "").typed<Attend>();
  const auto cast = [dtype = at::autocast::get_autocast_dtype(device)](const Tensor& x) {
    return at::autocast::cached_cast(dtype, x, device);
  };
  return attention.call(cast(query), cast(keys), cast(value), cuSeqlens, scale, longest);
}

template <c10::DispatchKey key, c10::DeviceType device>
Results keptUnderAutocast(const Tensor& query, const Tensor& keys, const Tensor& value, const OptionalTensor& cuSeqlens,
                          std::optional<double> scale, std::optional<int64_t> longest) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention_kept", "").typed<AttendAndKeep>();
  const auto dtype = at::autocast::get_autocast_dtype(device);
  return attention.call(at::autocast::cached_cast(dtype, query, device), at::autocast::cached_cast(dtype, keys, device),
                        at::autocast::cached_cast(dtype, value, device), cuSeqlens, scale, longest);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor recalledCast(const Tensor& query, const Tensor& keys, const Tensor& value, const Tensor& out,
                    const Tensor& logsumexp, const OptionalTensor& cuSeqlens, std::optional<double> scale,
                    std::optional<int64_t> longest) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention_recalled", "").typed<AttendRecalled>();
  const auto dtype = at::autocast::get_autocast_dtype(device);
  return attention.call(at::autocast::cached_cast(dtype, query, device), at::autocast::cached_cast(dtype, keys, device),
                        at::autocast::cached_cast(dtype, value, device), out, logsumexp, cuSeqlens, scale, longest);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "causal_attention(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None, float? scale=None, "
      "int? longest=None) -> Tensor");
  library.def(
      "causal_attention_kept(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None, float? scale=None, "
      "int? longest=None) -> (Tensor, Tensor)");
  library.def(
      "causal_attention_recalled(Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, "
      "Tensor? cu_seqlens=None, float? scale=None, "
      "int? longest=None) -> Tensor");
  library.def(
      "composite_causal_attention(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None, float? scale=None, "
      "int? longest=None) -> Tensor",
      compositeAttention);
  library.def("attention_choice(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None) -> str");
}

// CPU and AutogradCPU both: beside a composite kernel, one for CPU alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeImplicitAutograd, library) {
  library.impl("causal_attention", compositeAttention);
}
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("causal_attention", onCpu);
  library.impl("causal_attention_kept", keptOnCpu);
  library.impl("causal_attention_recalled", recalledOnCpu);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCPU, library) {
  library.impl("causal_attention", autogradOnCpu);
  library.impl("causal_attention_kept", torch::CppFunction::makeFallthrough());
  library.impl("causal_attention_recalled", recalledOnCpu);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCPU, library) {
  library.impl("causal_attention", underAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
  library.impl("causal_attention_kept", keptUnderAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
  library.impl("causal_attention_recalled", recalledCast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCUDA, library) {
  library.impl("causal_attention", underAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
  library.impl("causal_attention_kept", keptUnderAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
  library.impl("causal_attention_recalled", recalledCast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
}

}  // namespace qwen_pt

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
// Here the operators; the CPU's own kernel is attention_on_cpu.cc, elsewhere ATen operators compute
// (accelerator/attention.cc, attention_operands.cc).

#include "attention_on_cpu.h"
#include "attention_operands.h"
#include "tensors/placement.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/alias.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>

namespace qwen_pt {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Forward = AttentionResult;

/// What an earlier pass is said to have computed: the kernel goes by pointers and would read past anything else.
void checkGiven(const char* what, const Tensor& given, at::IntArrayRef sizes, at::ScalarType dtype) {
  TORCH_CHECK(given.sizes() == sizes && given.scalar_type() == dtype && isOnHost(given), "the given ", what, " is ",
              given.scalar_type(), " ", given.sizes(), " on ", given.device(), ", not ", dtype, " ", sizes, " on cpu");
}

/// Every document meets itself.
Meetings documentsOf(const Tensor& query, const OptionalTensor& cuSeqlens, std::optional<int64_t> longest) {
  const auto bounds = documentBounds(query, cuSeqlens, longest);
  Meetings documents;
  for (size_t i = 1; i < bounds.size(); ++i) {
    const int64_t length = bounds[i] - bounds[i - 1];
    documents.push_back({bounds[i - 1], length, bounds[i - 1], length});
  }
  return documents;
}

Forward forwardOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                     double scale, std::optional<int64_t> longest) {
  return attendOnCpu({query, key, value, documentsOf(query, cuSeqlens, longest), true, scale});
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
    const AttentionCall call{saved[0], saved[1],
                             saved[2], documentsOf(saved[0], cuSeqlens, std::nullopt),
                             true,     context->saved_data["scale"].toDouble()};
    const auto grads = attendBackwardOnCpu(call, evenlySpaced(outputs[0]), {saved[3], saved[4]});
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

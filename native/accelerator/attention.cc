// Causal attention where it is not the processor's: libtorch's kernels, those for documents of varying length included,
// and on meta their shapes. Nothing is copied to the host. Signatures and meanings are kernels/attention/attention.cc's.
//
// In 16 bits flash attention where the device has it; memory-efficient attention for those and for float32; float64,
// which has neither, document by document. What a second pass takes from the first is the result and the logarithms of
// the rows' sums, from which both kernels' backward passes go; dropout, whose random state they would need, there is none.

#include "kernels/attention/attention_operands.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_fused_sdp_choice.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <tuple>

namespace qwen_pt {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using OptionalInt = std::optional<int64_t>;
using Results = std::tuple<Tensor, Tensor>;

enum class Kernel { kFlash, kEfficient, kNone };

bool isHalf(const Tensor& x) { return x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16; }

bool suitsFlash(const Tensor& query) { return isHalf(query) && query.size(3) % 8 == 0 && query.size(3) <= 256; }

/// Whether a device has a flash kernel for these operands.
using HasFlash = bool (*)(const Tensor& query, const Tensor& key, const Tensor& value);

/// Meta stands for any device, one that has it included.
bool flashAnywhere(const Tensor& query, const Tensor&, const Tensor&) { return suitsFlash(query); }

/// It is asked of libtorch, which goes by shapes and the device's properties.
bool flashOnCuda(const Tensor& query, const Tensor& key, const Tensor& value) {
  if (!suitsFlash(query)) return false;
  constexpr int64_t kMath = 0, kMemoryEfficient = 2;  // sdp::SDPBackend
  const auto chosen = at::_fused_sdp_choice(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), {}, 0.0,
                                            /*is_causal=*/true, std::nullopt, query.size(2) != key.size(2));
  return chosen != kMath && chosen != kMemoryEfficient;
}

template <HasFlash hasFlash>
Kernel kernelFor(const Tensor& query, const Tensor& key, const Tensor& value) {
  if (hasFlash(query, key, value)) return Kernel::kFlash;
  const bool isKnown = isHalf(query) || query.scalar_type() == at::kFloat;
  return isKnown && query.size(3) % 8 == 0 ? Kernel::kEfficient : Kernel::kNone;
}

/// Keys' or values' heads once for each head of the queries: what has no grouped queries wants them so.
Tensor repeatedFor(const Tensor& query, const Tensor& of) {
  const int64_t group = query.size(2) / of.size(2);
  if (group == 1) return of;
  return of.unsqueeze(3).expand({-1, -1, -1, group, -1}).flatten(2, 3);
}

/// One of the two kernels over some operands: whole rows, or documents.
struct Problem {
  Kernel kernel;
  OptionalTensor starts;
  int64_t longest;  // what no document exceeds: without a word from the caller, as many tokens as there are
  double scale;

  Problem(Kernel which, const Tensor& query, const OptionalTensor& cuSeqlens, OptionalInt most, double factor)
      : kernel(which), starts(cuSeqlens), longest(query.size(1)), scale(factor) {
    if (starts) longest = most.value_or(query.size(0) * query.size(1));
  }

  static constexpr int64_t kCausalFromTopLeft = 1;

  /// Flash's documents are [tokens, heads, dim]; memory-efficient attention's have a batch of one.
  Tensor laid(const Tensor& x) const {
    if (!starts) return x;
    return kernel == Kernel::kFlash ? x.flatten(0, 1) : x.flatten(0, 1).unsqueeze(0);
  }

  /// The result of query's shape, and the logarithms of the rows' sums.
  Results forward(const Tensor& query, const Tensor& key, const Tensor& value) const {
    Tensor out, sums;
    if (kernel == Kernel::kFlash) {
      std::tie(out, sums, std::ignore, std::ignore, std::ignore) =
          at::_flash_attention_forward(laid(query), laid(key), laid(value), starts, starts, longest, longest, 0.0,
                                       /*is_causal=*/true, /*return_debug_mask=*/false, scale);
    } else {
      std::tie(out, sums, std::ignore, std::ignore, std::ignore, std::ignore) = at::_efficient_attention_forward(
          laid(query), laid(repeatedFor(query, key)), laid(repeatedFor(query, value)), {}, starts, starts, longest,
          longest, 0.0, kCausalFromTopLeft, /*compute_log_sumexp=*/true, scale);
    }
    return {out.view(query.sizes()), sums};
  }

  std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad, const Tensor& query, const Tensor& key,
                                              const Tensor& value, const Tensor& out, const Tensor& sums) const {
    const Tensor none = starts.value_or(Tensor());
    Tensor dQuery, dKey, dValue;
    if (kernel == Kernel::kFlash) {
      const Tensor random = at::zeros({2}, query.options().dtype(at::kLong));  // of no dropout
      std::tie(dQuery, dKey, dValue) = at::_flash_attention_backward(
          laid(grad), laid(query), laid(key), laid(value), laid(out), sums, none, none, longest, longest, 0.0,
          /*is_causal=*/true, random, at::empty({0}, random.options()), scale);
      return {dQuery.view(query.sizes()), dKey.view(key.sizes()), dValue.view(value.sizes())};
    }
    const Tensor random = at::zeros({}, query.options().dtype(at::kLong));
    std::tie(dQuery, dKey, dValue, std::ignore) = at::_efficient_attention_backward(
        laid(grad), laid(query), laid(repeatedFor(query, key)), laid(repeatedFor(query, value)), {}, laid(out), starts,
        starts, longest, longest, sums, 0.0, random, random, kCausalFromTopLeft, /*bias_requires_grad=*/false, scale);
    return {dQuery.view(query.sizes()), grouped(dKey, key), grouped(dValue, value)};
  }

 private:
  /// The gradients of heads that were repeated, added up.
  static Tensor grouped(const Tensor& grad, const Tensor& of) {
    const Tensor whole = grad.reshape({of.size(0), of.size(1), -1, of.size(3)});
    const int64_t group = whole.size(2) / of.size(2);
    return group == 1 ? whole : whole.unflatten(2, {of.size(2), group}).sum(3);
  }
};

Tensor onCuda(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
              std::optional<double> scale, OptionalInt longest) {
  checkAttention(query, key, value, cuSeqlens);
  const double factor = attentionScale(scale, query);
  const Kernel kernel = kernelFor<flashOnCuda>(query, key, value);
  if (cuSeqlens) {
    if (kernel == Kernel::kNone) return compositeAttention(query, key, value, cuSeqlens->cpu(), scale, longest);
    return std::get<0>(Problem(kernel, query, cuSeqlens, longest, factor).forward(query, key, value));
  }
  // with grouped queries libtorch has flash or the plain products [heads, seq, seq], nothing between
  if (kernel == Kernel::kFlash) return attendRows(query, key, value, factor);
  return attendRows(query, repeatedFor(query, key), repeatedFor(query, value), factor);
}

/// Shapes alone. Documents go the way that they go on a device; whole rows, and float64, by operators that have a meta
/// kernel in C++, which libtorch's attention there has not. What cu_seqlens holds cannot be read.
Tensor onMeta(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
              std::optional<double> scale, OptionalInt longest) {
  checkAttention(query, key, value, cuSeqlens);
  const double factor = attentionScale(scale, query);
  const Kernel kernel = kernelFor<flashAnywhere>(query, key, value);
  if (cuSeqlens && kernel != Kernel::kNone) {
    return std::get<0>(Problem(kernel, query, cuSeqlens, longest, factor).forward(query, key, value));
  }
  const int64_t kvHeads = key.size(2);
  const Tensor grouped =
      query.unflatten(2, {kvHeads, -1}).permute({0, 2, 3, 1, 4});  // [batch, kvHeads, group, seq, dim]
  const auto shared = [](const Tensor& x) { return x.transpose(1, 2).unsqueeze(2); };  // [batch, kvHeads, 1, seq, dim]
  const Tensor scores = at::matmul(grouped, shared(key).transpose(-1, -2)).mul(factor);
  return at::matmul(scores.softmax(-1), shared(value)).permute({0, 3, 1, 2, 4}).flatten(2, 3);
}

/// Which of libtorch's kernels causal_attention takes.
template <HasFlash hasFlash>
std::string choice(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens) {
  checkAttention(query, key, value, cuSeqlens);
  const Kernel kernel = kernelFor<hasFlash>(query, key, value);
  if (!cuSeqlens) return kernel == Kernel::kFlash ? "rows, flash" : "rows, another";
  if (kernel == Kernel::kFlash) return "documents, flash";
  return kernel == Kernel::kEfficient ? "documents, memory-efficient" : "document by document";
}

// A second pass that takes the result from the first.

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RecalledAttention : torch::autograd::Function<RecalledAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        const Tensor& out, const Tensor& sums, const OptionalTensor& cuSeqlens, double scale,
                        OptionalInt longest, bool isFlash) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({query, key, value, out, sums, cuSeqlens.value_or(Tensor())});
    context->saved_data["scale"] = scale;
    context->saved_data["longest"] = longest;
    context->saved_data["flash"] = isFlash;
    return at::alias(out);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "causal_attention has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const Tensor& query = saved[0];
    const OptionalTensor starts = saved[5].defined() ? OptionalTensor(saved[5]) : std::nullopt;
    const Problem problem(data["flash"].toBool() ? Kernel::kFlash : Kernel::kEfficient, query, starts,
                          data["longest"].toOptional<int64_t>(), data["scale"].toDouble());
    const auto [dQuery, dKey, dValue] =
        problem.backward(outputs[0].contiguous(), query, saved[1], saved[2], saved[3], saved[4]);
    return {dQuery, dKey, dValue, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

/// Where neither kernel is: nothing but the result is kept, and all is computed again.
Results keptElsewhere(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                      std::optional<double> scale, OptionalInt longest) {
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention", "").typed<Attend>();
  return {attention.call(query, key, value, cuSeqlens, scale, longest), at::empty({0}, query.options())};
}

/// Whatever computes it: what was kept lies where the query does.
void checkDevices(const Tensor& query, const Tensor& out, const Tensor& sums) {
  for (const Tensor& given : {out, sums}) {
    TORCH_CHECK(given.device() == query.device(), "what is given is on ", given.device(), ", the query on ",
                query.device());
  }
}

Tensor recalledElsewhere(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
                         const Tensor& sums, const OptionalTensor& cuSeqlens, std::optional<double> scale,
                         OptionalInt longest) {
  checkDevices(query, out, sums);
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention", "").typed<Attend>();
  return attention.call(query, key, value, cuSeqlens, scale, longest);
}

template <HasFlash hasFlash>
Results kept(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
             std::optional<double> scale, OptionalInt longest) {
  checkAttention(query, key, value, cuSeqlens);
  const Kernel kernel = kernelFor<hasFlash>(query, key, value);
  if (kernel == Kernel::kNone) return keptElsewhere(query, key, value, cuSeqlens, scale, longest);
  return Problem(kernel, query, cuSeqlens, longest, attentionScale(scale, query)).forward(query, key, value);
}

template <HasFlash hasFlash>
Tensor recalled(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out, const Tensor& sums,
                const OptionalTensor& cuSeqlens, std::optional<double> scale, OptionalInt longest) {
  checkAttention(query, key, value, cuSeqlens);
  const Kernel kernel = kernelFor<hasFlash>(query, key, value);
  if (kernel == Kernel::kNone) return recalledElsewhere(query, key, value, out, sums, cuSeqlens, scale, longest);
  checkDevices(query, out, sums);
  TORCH_CHECK(out.sizes() == query.sizes() && out.scalar_type() == query.scalar_type(), "the given result is ",
              out.scalar_type(), " ", out.sizes(), ", not ", query.scalar_type(), " ", query.sizes());
  TORCH_CHECK(sums.scalar_type() == at::kFloat && sums.numel() >= query.size(0) * query.size(1) * query.size(2),
              "the given logsumexp is ", sums.scalar_type(), " ", sums.sizes(), ", too few for the queries ",
              query.sizes());
  return RecalledAttention::apply(query, key, value, out, sums, cuSeqlens, attentionScale(scale, query), longest,
                                  kernel == Kernel::kFlash);
}

}  // namespace

TORCH_LIBRARY_IMPL(qwen_pt, CompositeImplicitAutograd, library) {
  library.impl("causal_attention_kept", keptElsewhere);
  library.impl("causal_attention_recalled", recalledElsewhere);
}
TORCH_LIBRARY_IMPL(qwen_pt, Meta, library) {
  library.impl("causal_attention", onMeta);
  library.impl("causal_attention_kept", kept<flashAnywhere>);
  library.impl("causal_attention_recalled", recalled<flashAnywhere>);
  library.impl("attention_choice", choice<flashAnywhere>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradMeta, library) {
  library.impl("causal_attention", onMeta);
  library.impl("causal_attention_kept", torch::CppFunction::makeFallthrough());
  library.impl("causal_attention_recalled", recalled<flashAnywhere>);
}
TORCH_LIBRARY_IMPL(qwen_pt, CUDA, library) {
  library.impl("causal_attention", onCuda);
  library.impl("causal_attention_kept", kept<flashOnCuda>);
  library.impl("causal_attention_recalled", recalled<flashOnCuda>);
  library.impl("attention_choice", choice<flashOnCuda>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCUDA, library) {
  library.impl("causal_attention", onCuda);
  library.impl("causal_attention_kept", torch::CppFunction::makeFallthrough());
  library.impl("causal_attention_recalled", recalled<flashOnCuda>);
}

}  // namespace qwen_pt

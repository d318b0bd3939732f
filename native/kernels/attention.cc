// Causal attention with grouped queries over whole sequences or over documents packed into them.
//
//   causal_attention(query [batch, seq, heads, dim], key, value [batch, seq, kvHeads, dim], cu_seqlens?, scale?)
//     -> [batch, seq, heads, dim]
//
// cu_seqlens: int32 [documents + 1], where each document starts among the batch * seq tokens, then their number.
// A token sees its own document up to itself. Without it every row of the batch is one document.
//
// On the CPU our own kernel (attention_forward.h, attention_backward.h); elsewhere ATen operators: for documents
// flash attention in 16 bits, memory-efficient attention in float32.

#include "tensors/placement.h"
#include "vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_fused_sdp_choice.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// A part is worth its packing from about this many tokens on.
constexpr int64_t kBlock = 96;
/// A part's share of the queries' gradients may take so much memory, over all parts.
constexpr int64_t kPartialBytes = int64_t{256} << 20;

void check(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens) {
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4,
              "query, key and value must be [batch, seq, heads, dim], got ", query.sizes(), ", ", key.sizes(), " and ",
              value.sizes());
  TORCH_CHECK(key.sizes() == value.sizes() && key.size(0) == query.size(0) && key.size(1) == query.size(1) &&
                  key.size(3) == query.size(3) && key.size(2) > 0 && query.size(2) % key.size(2) == 0,
              "query ", query.sizes(), ", key ", key.sizes(), " and value ", value.sizes(), " do not belong together");
  TORCH_CHECK(query.scalar_type() == key.scalar_type() && query.scalar_type() == value.scalar_type(), "query is ",
              query.scalar_type(), ", key ", key.scalar_type(), " and value ", value.scalar_type());
  TORCH_CHECK(query.device() == key.device() && query.device() == value.device(), "query is on ", query.device(),
              ", key on ", key.device(), " and value on ", value.device());
  TORCH_CHECK(!cuSeqlens || (cuSeqlens->dim() == 1 && cuSeqlens->scalar_type() == at::kInt && cuSeqlens->numel() >= 2),
              "cu_seqlens must be int32 [documents + 1]");
}

double scaleOr(std::optional<double> scale, const Tensor& query) {
  return scale.value_or(1 / std::sqrt(static_cast<double>(query.size(3))));
}

/// Where each document starts, and the number of tokens; empty documents are left out.
std::vector<int64_t> boundsOf(const Tensor& query, const OptionalTensor& cuSeqlens) {
  const int64_t tokens = query.size(0) * query.size(1);
  std::vector<int64_t> bounds{0};
  if (!cuSeqlens) {
    for (int64_t row = 1; row <= query.size(0); ++row) bounds.push_back(row * query.size(1));
    return bounds;
  }
  TORCH_CHECK(hasMemory(*cuSeqlens), "cu_seqlens is on meta: where the documents begin cannot be read");
  const Tensor starts = cuSeqlens->cpu().contiguous();
  const auto* start = starts.const_data_ptr<int32_t>();
  TORCH_CHECK(start[0] == 0 && start[starts.numel() - 1] == tokens, "cu_seqlens must lead from 0 to ", tokens,
              ", the number of tokens, not from ", start[0], " to ", start[starts.numel() - 1]);
  for (int64_t i = 1; i < starts.numel(); ++i) {
    TORCH_CHECK(start[i] >= start[i - 1], "cu_seqlens falls from ", start[i - 1], " to ", start[i]);
    if (start[i] > start[i - 1]) bounds.push_back(start[i]);
  }
  return bounds;
}

// With ATen operators alone, document by document.

Tensor attendRows(const Tensor& query, const Tensor& key, const Tensor& value, double scale) {
  return at::scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), {}, 0.0,
                                          /*is_causal=*/true, scale, query.size(2) != key.size(2))
      .transpose(1, 2);
}

Tensor composite(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                 std::optional<double> scale) {
  check(query, key, value, cuSeqlens);
  if (!cuSeqlens) return attendRows(query, key, value, scaleOr(scale, query));
  const std::vector<int64_t> bounds = boundsOf(query, cuSeqlens);
  const auto document = [](const Tensor& of, int64_t start, int64_t length) {
    return of.flatten(0, 1).narrow(0, start, length).unsqueeze(0);
  };
  std::vector<Tensor> outs;
  for (size_t i = 1; i < bounds.size(); ++i) {
    const int64_t start = bounds[i - 1], length = bounds[i] - start;
    outs.push_back(attendRows(document(query, start, length), document(key, start, length),
                              document(value, start, length), scaleOr(scale, query)));
  }
  return at::cat(outs, 1).view(query.sizes());
}

// On an accelerator: libtorch's kernels, those for documents of varying length included. Nothing is copied to the host.

enum class Kernel { kRows, kFlash, kEfficient, kByDocument };

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

/// Flash for 16 bits where the device has it; memory-efficient attention for those and for float32; float64 has neither.
template <HasFlash hasFlash>
Kernel kernelFor(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens) {
  if (!cuSeqlens) return Kernel::kRows;
  if (hasFlash(query, key, value)) return Kernel::kFlash;
  const bool isKnown = isHalf(query) || query.scalar_type() == at::kFloat;
  return isKnown && query.size(3) % 8 == 0 ? Kernel::kEfficient : Kernel::kByDocument;
}

/// Keys' or values' heads once for each head of the queries: what has no grouped queries wants them so.
Tensor repeatedFor(const Tensor& query, const Tensor& of) {
  const int64_t group = query.size(2) / of.size(2);
  if (group == 1) return of;
  return of.unsqueeze(3).expand({-1, -1, -1, group, -1}).flatten(2, 3);
}

Tensor attendDocuments(Kernel kernel, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& starts,
                       double scale) {
  const int64_t longest = query.size(1);  // no document is longer than a row: known without a look at cu_seqlens
  const auto joined = [](const Tensor& x) { return x.flatten(0, 1); };  // [tokens, heads, dim]
  if (kernel == Kernel::kFlash) {
    return std::get<0>(at::_flash_attention_forward(joined(query), joined(key), joined(value), starts, starts, longest,
                                                    longest, 0.0, /*is_causal=*/true, /*return_debug_mask=*/false,
                                                    scale))
        .view(query.sizes());
  }
  constexpr int64_t kCausalFromTopLeft = 1;
  const auto row = [&](const Tensor& x) { return joined(x).unsqueeze(0); };  // [1, tokens, heads, dim]
  return std::get<0>(at::_efficient_attention_forward(
                         row(query), row(repeatedFor(query, key)), row(repeatedFor(query, value)), {}, starts, starts,
                         longest, longest, 0.0, kCausalFromTopLeft, /*compute_log_sumexp=*/true, scale))
      .view(query.sizes());
}

Tensor onCuda(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
              std::optional<double> scale) {
  check(query, key, value, cuSeqlens);
  const Kernel kernel = kernelFor<flashOnCuda>(query, key, value, cuSeqlens);
  if (kernel == Kernel::kByDocument) return composite(query, key, value, cuSeqlens->cpu(), scale);
  if (kernel != Kernel::kRows) return attendDocuments(kernel, query, key, value, *cuSeqlens, scaleOr(scale, query));
  // with grouped queries libtorch has flash or the plain products [heads, seq, seq], nothing between
  if (flashOnCuda(query, key, value)) return attendRows(query, key, value, scaleOr(scale, query));
  return attendRows(query, repeatedFor(query, key), repeatedFor(query, value), scaleOr(scale, query));
}

/// Shapes alone. Documents go the way that they go on a device; whole rows, and float64, by operators that have a meta
/// kernel in C++, which libtorch's attention there has not. What cu_seqlens holds cannot be read.
Tensor onMeta(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
              std::optional<double> scale) {
  check(query, key, value, cuSeqlens);
  const Kernel kernel = kernelFor<flashAnywhere>(query, key, value, cuSeqlens);
  if (kernel == Kernel::kFlash || kernel == Kernel::kEfficient) {
    return attendDocuments(kernel, query, key, value, *cuSeqlens, scaleOr(scale, query));
  }
  const int64_t kvHeads = key.size(2);
  const Tensor grouped =
      query.unflatten(2, {kvHeads, -1}).permute({0, 2, 3, 1, 4});  // [batch, kvHeads, group, seq, dim]
  const auto shared = [](const Tensor& x) { return x.transpose(1, 2).unsqueeze(2); };  // [batch, kvHeads, 1, seq, dim]
  const Tensor scores = at::matmul(grouped, shared(key).transpose(-1, -2)).mul(scaleOr(scale, query));
  return at::matmul(scores.softmax(-1), shared(value)).permute({0, 3, 1, 2, 4}).flatten(2, 3);
}

/// Which of libtorch's kernels causal_attention takes.
template <HasFlash hasFlash>
std::string choice(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens) {
  check(query, key, value, cuSeqlens);
  switch (kernelFor<hasFlash>(query, key, value, cuSeqlens)) {
    case Kernel::kRows: return hasFlash(query, key, value) ? "rows, flash" : "rows, another";
    case Kernel::kFlash: return "documents, flash";
    case Kernel::kEfficient: return "documents, memory-efficient";
    default: return "document by document";
  }
}

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

  Setting(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens, double scale)
      : bounds(boundsOf(query, cuSeqlens)), problem{} {
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
                     double scale) {
  checkForKernel(query, scale);
  Setting setting(query, key, value, cuSeqlens, scale);
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
             std::optional<double> scale) {
  check(query, key, value, cuSeqlens);
  return forwardOnCpu(evenlySpaced(query), evenlySpaced(key), evenlySpaced(value), cuSeqlens, scaleOr(scale, query))
      .out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  /// `given`: the results of an earlier pass over the same operands.
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        const OptionalTensor& cuSeqlens, double scale, const OptionalTensor& givenOut,
                        const OptionalTensor& givenSums) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Tensor q = evenlySpaced(query), k = evenlySpaced(key), v = evenlySpaced(value);
    const Forward result =
        givenOut ? Forward{at::alias(*givenOut), givenSums->contiguous()} : forwardOnCpu(q, k, v, cuSeqlens, scale);
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
    return {grads.query, grads.key, grads.value, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor autogradOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                     std::optional<double> scale) {
  if (!c10::GradMode::is_enabled() || !(query.requires_grad() || key.requires_grad() || value.requires_grad())) {
    at::AutoDispatchBelowADInplaceOrView below;
    return onCpu(query, key, value, cuSeqlens, scale);
  }
  check(query, key, value, cuSeqlens);
  return CausalAttention::apply(query, key, value, cuSeqlens, scaleOr(scale, query), OptionalTensor(),
                                OptionalTensor());
}

// Attention whose result a second pass takes from the first: what is kept of it is the result and, where the backward
// pass asks for them, the logarithms of the rows' sums.

using Results = std::tuple<Tensor, Tensor>;

Results keptOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                  std::optional<double> scale) {
  check(query, key, value, cuSeqlens);
  const Forward result =
      forwardOnCpu(evenlySpaced(query), evenlySpaced(key), evenlySpaced(value), cuSeqlens, scaleOr(scale, query));
  return {result.out, result.logsumexp};
}

Tensor recalledOnCpu(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
                     const Tensor& logsumexp, const OptionalTensor& cuSeqlens, std::optional<double> scale) {
  check(query, key, value, cuSeqlens);
  checkForKernel(query, scaleOr(scale, query));
  checkGiven("result", out, query.sizes(), query.scalar_type());
  checkGiven("logsumexp", logsumexp, {query.size(2), query.size(0) * query.size(1)}, sumsDtype(query));
  return CausalAttention::apply(query, key, value, cuSeqlens, scaleOr(scale, query), OptionalTensor(out),
                                OptionalTensor(logsumexp));
}

/// libtorch's own attention on a device keeps what it needs by itself: there nothing is kept, and all is computed again.
Results keptElsewhere(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                      std::optional<double> scale) {
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention", "").typed<decltype(composite)>();
  return {attention.call(query, key, value, cuSeqlens, scale), at::empty({0}, query.options())};
}

Tensor recalledElsewhere(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
                         const Tensor& logsumexp, const OptionalTensor& cuSeqlens, std::optional<double> scale) {
  for (const Tensor& given : {out, logsumexp}) {
    TORCH_CHECK(given.device() == query.device(), "what is given is on ", given.device(), ", the query on ",
                query.device());
  }
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention", "").typed<decltype(composite)>();
  return attention.call(query, key, value, cuSeqlens, scale);
}

/// Under autocast, in its dtype: what libtorch does for its own attention.
template <c10::DispatchKey key, c10::DeviceType device>
Tensor underAutocast(const Tensor& query, const Tensor& keys, const Tensor& value, const OptionalTensor& cuSeqlens,
                     std::optional<double> scale) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention", "").typed<decltype(composite)>();
  const auto cast = [dtype = at::autocast::get_autocast_dtype(device)](const Tensor& x) {
    return at::autocast::cached_cast(dtype, x, device);
  };
  return attention.call(cast(query), cast(keys), cast(value), cuSeqlens, scale);
}

template <c10::DispatchKey key, c10::DeviceType device>
Results keptUnderAutocast(const Tensor& query, const Tensor& keys, const Tensor& value, const OptionalTensor& cuSeqlens,
                          std::optional<double> scale) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto attention =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::causal_attention_kept", "").typed<decltype(keptOnCpu)>();
  const auto dtype = at::autocast::get_autocast_dtype(device);
  return attention.call(at::autocast::cached_cast(dtype, query, device), at::autocast::cached_cast(dtype, keys, device),
                        at::autocast::cached_cast(dtype, value, device), cuSeqlens, scale);
}

template <c10::DispatchKey key, c10::DeviceType device>
Tensor recalledCast(const Tensor& query, const Tensor& keys, const Tensor& value, const Tensor& out,
                    const Tensor& logsumexp, const OptionalTensor& cuSeqlens, std::optional<double> scale) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto attention = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("qwen_pt::causal_attention_recalled", "")
                                    .typed<decltype(recalledOnCpu)>();
  const auto dtype = at::autocast::get_autocast_dtype(device);
  return attention.call(at::autocast::cached_cast(dtype, query, device), at::autocast::cached_cast(dtype, keys, device),
                        at::autocast::cached_cast(dtype, value, device), out, logsumexp, cuSeqlens, scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "causal_attention(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None, float? scale=None) -> Tensor");
  library.def(
      "causal_attention_kept(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None, float? scale=None) -> "
      "(Tensor, Tensor)");
  library.def(
      "causal_attention_recalled(Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, "
      "Tensor? cu_seqlens=None, float? scale=None) -> Tensor");
  library.def(
      "composite_causal_attention(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None, float? scale=None) "
      "-> Tensor",
      composite);
  library.def("attention_choice(Tensor query, Tensor key, Tensor value, Tensor? cu_seqlens=None) -> str");
}

// CPU and AutogradCPU both: beside a composite kernel, one for CPU alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeImplicitAutograd, library) {
  library.impl("causal_attention", composite);
  library.impl("causal_attention_kept", keptElsewhere);
  library.impl("causal_attention_recalled", recalledElsewhere);
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
TORCH_LIBRARY_IMPL(qwen_pt, Meta, library) {
  library.impl("causal_attention", onMeta);
  library.impl("attention_choice", choice<flashAnywhere>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradMeta, library) { library.impl("causal_attention", onMeta); }
TORCH_LIBRARY_IMPL(qwen_pt, CUDA, library) {
  library.impl("causal_attention", onCuda);
  library.impl("attention_choice", choice<flashOnCuda>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCUDA, library) { library.impl("causal_attention", onCuda); }
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

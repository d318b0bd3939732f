#include "attention_on_cpu.h"

#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>

namespace qwen_pt {

using at::Tensor;

namespace {

/// A part is worth its packing from about this many tokens on.
constexpr int64_t kBlock = 96;
/// A part's share of the queries' gradients may take so much memory, over all parts.
constexpr int64_t kPartialBytes = int64_t{256} << 20;

/// A dimension of one has any stride: of rows of one token, the distance is that of the rows.
HeadRows rowsOf(const Tensor& x) { return {x.data_ptr(), x.size(1) == 1 ? x.stride(0) : x.stride(1), x.stride(2)}; }

struct Setting {
  AttentionProblem problem{};
  /// Queries and keys that meet none, whose results nobody writes.
  bool leavesSome;

  explicit Setting(const AttentionCall& call) {
    problem.dtype = call.query.scalar_type();
    problem.tokens = call.query.size(0) * call.query.size(1);
    problem.heads = call.query.size(2);
    problem.kvHeads = call.key.size(2);
    problem.dim = call.query.size(3);
    problem.scale = call.scale;
    problem.meetings = call.meetings.data();
    problem.count = static_cast<int64_t>(call.meetings.size());
    problem.isCausal = call.isCausal;
    int64_t queries = 0, keys = 0;
    for (const Meeting& meeting : call.meetings) {
      queries += meeting.queries;
      keys += meeting.keys;
      problem.mostQueries = std::max(problem.mostQueries, meeting.queries);
      problem.mostKeys = std::max(problem.mostKeys, meeting.keys);
    }
    leavesSome = queries < problem.tokens || keys < call.key.size(0) * call.key.size(1);
    problem.query = rowsOf(call.query);
    problem.key = rowsOf(call.key);
    problem.value = rowsOf(call.value);
  }

  int64_t tasks() const { return problem.kvHeads * problem.parts; }

  /// Enough parts to keep every thread busy to the end, and no more.
  void deal(int64_t most) {
    const int64_t threads = at::get_num_threads();
    if (problem.kvHeads % threads == 0) return;
    const int64_t wanted = (2 * threads + problem.kvHeads - 1) / problem.kvHeads;
    problem.parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(most, 1));
  }

  Tensor made(const Tensor& like) const {
    return leavesSome ? at::zeros(like.sizes(), like.options()) : at::empty(like.sizes(), like.options());
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

}  // namespace

Tensor evenlySpaced(const Tensor& x) {
  const bool isDense = x.stride(3) == 1 || x.size(3) == 1;
  const bool isOne = x.size(0) == 1 || x.size(1) == 1;
  return isDense && (isOne || x.stride(0) == x.size(1) * x.stride(1)) ? x : x.contiguous();
}

at::ScalarType sumsDtype(const Tensor& query) { return query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

void checkForKernel(const Tensor& query, double scale) {
  const auto dtype = query.scalar_type();
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf,
              "causal_attention takes float32, float64, bfloat16 and float16, not ", dtype);
  TORCH_CHECK(scale > 0, "scale must be above 0, not ", scale);
}

AttentionResult attendOnCpu(const AttentionCall& call) {
  const Tensor& query = call.query;
  checkForKernel(query, call.scale);
  Setting setting(call);
  auto& problem = setting.problem;
  const auto sums = query.options().dtype(sumsDtype(query));
  const auto nothing = -std::numeric_limits<double>::infinity();
  AttentionResult result{setting.made(query), setting.leavesSome
                                                  ? at::full({problem.heads, problem.tokens}, nothing, sums)
                                                  : at::empty({problem.heads, problem.tokens}, sums)};
  if (query.numel() == 0 || problem.count == 0) return result;
  problem.out = rowsOf(result.out);
  problem.logsumexp = result.logsumexp.data_ptr();
  setting.deal(problem.tokens / kBlock);
  const auto& kernel = vectorKernels().attention;
  runInParallel(problem, setting.tasks(), kernel.forwardScratch(problem), kernel.forward);
  return result;
}

AttentionGradients attendBackwardOnCpu(const AttentionCall& call, const Tensor& grad, const AttentionResult& earlier) {
  Setting setting(call);
  auto& problem = setting.problem;
  AttentionGradients result{setting.made(call.query), setting.made(call.key), setting.made(call.value)};
  if (call.query.numel() == 0 || problem.count == 0) return result;
  problem.out = rowsOf(earlier.out);
  problem.logsumexp = earlier.logsumexp.data_ptr();
  problem.dOut = rowsOf(grad);
  problem.dQuery = rowsOf(result.query);
  problem.dKey = rowsOf(result.key);
  problem.dValue = rowsOf(result.value);
  const auto& kernel = vectorKernels().attention;
  const int64_t partBytes = kernel.partialSize(problem) * earlier.logsumexp.element_size();
  setting.deal(std::min(problem.tokens / (2 * kBlock), kPartialBytes / std::max<int64_t>(partBytes, 1)));
  Tensor partial;
  if (problem.parts > 1) {
    partial = at::zeros({problem.parts, kernel.partialSize(problem)}, earlier.logsumexp.options());
    problem.partial = partial.data_ptr();
  }
  const int64_t scratch = kernel.backwardScratch(problem);
  runInParallel(problem, setting.tasks(), scratch, kernel.backward);
  if (problem.parts > 1) runInParallel(problem, problem.heads, scratch, kernel.join);
  return result;
}

}  // namespace qwen_pt

// Attention by the CPU's own kernel (attention_forward.h, attention_backward.h), forward and backward: tensors to numbers,
// and the work to threads. Which operator asks, and autograd, are elsewhere (attention.cc, attention_between.cc).
#pragma once

#include "attention_kernel.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace qwen_pt {

using Meetings = std::vector<Meeting>;

struct AttentionCall {
  /// [batch, queries, heads, dim] and [batch, keys, kvHeads, dim], each evenlySpaced.
  const at::Tensor &query, &key, &value;
  /// By their places among the batch * queries and batch * keys tokens.
  const Meetings meetings;
  const bool isCausal;
  const double scale;
};

struct AttentionResult {
  at::Tensor out;        // query's shape and dtype; 0 for a query that meets no key
  at::Tensor logsumexp;  // [heads, batch * queries], float (double for double); -infinity for such a query
};

struct AttentionGradients {
  at::Tensor query, key, value;
};

/// [batch, seq, heads, dim] whose tokens lie at one distance from each other, elements of a head side by side.
at::Tensor evenlySpaced(const at::Tensor& x);

/// The dtype of sums, and of logsumexp.
at::ScalarType sumsDtype(const at::Tensor& query);

/// float32, float64, bfloat16 or float16, and a scale above 0.
void checkForKernel(const at::Tensor& query, double scale);

AttentionResult attendOnCpu(const AttentionCall& call);

/// The gradients where `result` is of these meetings alone or of more, whose parts add up.
AttentionGradients attendBackwardOnCpu(const AttentionCall& call, const at::Tensor& grad,
                                       const AttentionResult& result);

}  // namespace qwen_pt

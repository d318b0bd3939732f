// What attention on the CPU is asked to do, in plain numbers: attention_on_cpu.cc fills it in, attention_forward.h and
// attention_backward.h (compiled for each capability) do it. Not here: tensors, autograd, threads.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// [tokens, heads, dim] in memory: strides in elements, the last dimension dense.
struct HeadRows {
  void* data = nullptr;
  int64_t token = 0;
  int64_t head = 0;
};

/// A run of queries and the run of keys that it sees: the first of each among all tokens, and how many. No query and no
/// key is in two of them. A document is one, with the same tokens on both sides.
struct Meeting {
  int64_t query, queries, key, keys;
};

struct AttentionProblem {
  c10::ScalarType dtype;
  /// Queries in all.
  int64_t tokens;
  int64_t heads, kvHeads, dim;
  double scale;
  const Meeting* meetings;
  int64_t count;
  /// The longest runs.
  int64_t mostQueries, mostKeys;
  /// Query i of a meeting sees its keys up to i; otherwise all of them.
  bool isCausal;
  HeadRows query, key, value, out;
  /// [heads, tokens], float (double for double): log of the sum of exp(score).
  void* logsumexp;

  // The backward pass.
  HeadRows dOut, dQuery, dKey, dValue;
  /// With several parts, each adds its share of the query's gradient here: [parts, attentionPartial(problem)].
  void* partial = nullptr;

  /// A key/value head's work is split into this many tasks; task t is part t % parts of head t / parts.
  int64_t parts = 1;
};

struct AttentionKernel {
  /// Bytes of scratch that a thread needs for any number of tasks.
  int64_t (*forwardScratch)(const AttentionProblem&);
  void (*forward)(const AttentionProblem&, int64_t firstTask, int64_t endTask, char* scratch);
  int64_t (*backwardScratch)(const AttentionProblem&);
  void (*backward)(const AttentionProblem&, int64_t firstTask, int64_t endTask, char* scratch);
  /// Numbers (float or double) in one part of `partial`.
  int64_t (*partialSize)(const AttentionProblem&);
  /// Adds up the parts of heads [first, end) into dQuery.
  void (*join)(const AttentionProblem&, int64_t firstHead, int64_t endHead, char* scratch);
};

}  // namespace qwen_pt

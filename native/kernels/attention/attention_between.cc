// Attention between runs of queries and runs of keys that may be of other tokens than the queries: what ring attention
// (distributed/ring_attention.cc) is put together from. No gradients: whoever joins the parts knows them.
//
//   attention_between(query [batch, queries, heads, dim], key, value [batch, keys, kvHeads, dim], meetings, causal,
//                     scale?) -> (out, logsumexp [heads, batch * queries])
//
// meetings: int32 [n, 4], each a run of queries (the first among the batch * queries, and how many) and the run of keys that
// it sees (among the batch * keys); no token is in two. causal: a run has the same number of both, and its query i sees
// its keys up to i. A query that meets no key gets 0, and -infinity for its sum.
//
// attention_between_backward takes the result over all keys that the queries have met, these among them: the gradients
// of all meetings of a query add up.

#include "attention_on_cpu.h"
#include "attention_operands.h"
#include "tensors/placement.h"

#include <torch/library.h>

#include <optional>
#include <tuple>

namespace qwen_pt {

namespace {

using at::Tensor;

Meetings read(const Tensor& table, int64_t queries, int64_t keys, bool isCausal) {
  TORCH_CHECK(table.dim() == 2 && table.size(1) == 4 && table.scalar_type() == at::kInt && isOnHost(table),
              "meetings must be int32 [n, 4] on cpu, not ", table.scalar_type(), " ", table.sizes());
  const Tensor rows = table.contiguous();
  const auto* at = rows.const_data_ptr<int32_t>();
  Meetings meetings;
  int64_t nextQuery = 0;
  for (int64_t i = 0; i < rows.size(0); ++i, at += 4) {
    const Meeting meeting{at[0], at[1], at[2], at[3]};
    TORCH_CHECK(meeting.query >= nextQuery && meeting.queries > 0 && meeting.query + meeting.queries <= queries &&
                    meeting.key >= 0 && meeting.keys > 0 && meeting.key + meeting.keys <= keys &&
                    (!isCausal || meeting.queries == meeting.keys),
                "meeting ", i, " (", at[0], ", ", at[1], ", ", at[2], ", ", at[3], ") is none among ", queries,
                " queries and ", keys, " keys");
    nextQuery = meeting.query + meeting.queries;
    meetings.push_back(meeting);
  }
  return meetings;
}

void check(const Tensor& query, const Tensor& key, const Tensor& value) {
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && key.sizes() == value.sizes() && query.size(0) == key.size(0) &&
                  query.size(3) == key.size(3) && key.size(2) > 0 && query.size(2) % key.size(2) == 0 &&
                  query.scalar_type() == key.scalar_type() && query.scalar_type() == value.scalar_type(),
              "query ", query.sizes(), ", key ", key.sizes(), " and value ", value.sizes(), " do not belong together");
}

AttentionCall callOf(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& meetings, bool causal,
                     std::optional<double> scale) {
  check(query, key, value);
  return {query,  key,
          value,  read(meetings, query.size(0) * query.size(1), key.size(0) * key.size(1), causal),
          causal, attentionScale(scale, query)};
}

std::tuple<Tensor, Tensor> between(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& meetings,
                                   bool causal, std::optional<double> scale) {
  const Tensor q = evenlySpaced(query), k = evenlySpaced(key), v = evenlySpaced(value);
  auto result = attendOnCpu(callOf(q, k, v, meetings, causal, scale));
  return {result.out, result.logsumexp};
}

std::tuple<Tensor, Tensor, Tensor> betweenBackward(const Tensor& grad, const Tensor& query, const Tensor& key,
                                                   const Tensor& value, const Tensor& out, const Tensor& logsumexp,
                                                   const Tensor& meetings, bool causal, std::optional<double> scale) {
  const Tensor q = evenlySpaced(query), k = evenlySpaced(key), v = evenlySpaced(value);
  const AttentionCall call = callOf(q, k, v, meetings, causal, scale);
  checkForKernel(q, call.scale);
  TORCH_CHECK(grad.sizes() == q.sizes() && out.sizes() == q.sizes() && grad.scalar_type() == q.scalar_type() &&
                  out.scalar_type() == q.scalar_type() && logsumexp.scalar_type() == sumsDtype(q) &&
                  logsumexp.sizes() == at::IntArrayRef({q.size(2), q.size(0) * q.size(1)}),
              "grad ", grad.sizes(), ", out ", out.sizes(), " and logsumexp ", logsumexp.sizes(), " are not of query ",
              q.sizes());
  auto grads = attendBackwardOnCpu(call, evenlySpaced(grad), {evenlySpaced(out), logsumexp.contiguous()});
  return {grads.query, grads.key, grads.value};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "attention_between(Tensor query, Tensor key, Tensor value, Tensor meetings, bool causal, float? scale=None) -> "
      "(Tensor, Tensor)");
  library.def(
      "attention_between_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, "
      "Tensor meetings, bool causal, float? scale=None) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("attention_between", between);
  library.impl("attention_between_backward", betweenBackward);
}

}  // namespace qwen_pt

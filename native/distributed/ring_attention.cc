// Ring attention: each rank has some tokens of every row, their queries stay, and their keys and values go around the
// ranks; what meets is computed by attention_between (kernels/attention/attention_between.cc) while the next part is on its way.
//
//   ring_attention(query [batch, tokens, heads, dim], key, value [batch, tokens, kvHeads, dim], meetings, ring, scale?)
//     -> [batch, tokens, heads, dim]
//
// meetings[step], int32 [n, 4]: which queries see which keys of the rank that is `step` places before this one, as
// attention_between takes them; those of step 0 are causal. ring: a number of openRing.
//
// Forward, parts are joined by their logsumexp (Milakov and Gimelshein 2018, arXiv:1805.02867). Backward, the gradients of
// a part follow it around, one place behind, and the last rank hands them to whose it is.

#include "ring_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

namespace qwen_pt {

namespace {

using at::Tensor;
using Scale = std::optional<double>;
using Tables = std::vector<Tensor>;

struct Ring {
  std::weak_ptr<Group> group;
  std::vector<int> members;
  int place = 0;
  int passed = 0;  // parts sent so far: the same on all members

  int size() const { return static_cast<int>(members.size()); }

  /// Starts to pass `held` on and to receive what comes next.
  std::pair<Tensor, std::function<void()>> pass(const Tensor& held) {
    const auto open = group.lock();
    TORCH_CHECK(open != nullptr, "ring_attention: the process group is closed");
    Tensor next = at::empty_like(held);
    const int tag = kFirstTag + passed++ % kFirstTag;
    auto wait = open->pass(held.view({-1}), members[(place + 1) % size()], next.view({-1}),
                           members[(place + size() - 1) % size()], tag);
    return {next, std::move(wait)};
  }

 private:
  static constexpr int kFirstTag = 1 << 30;  // above those of sends and receives that a program asks for
};

std::mutex ringsMutex;
std::vector<std::shared_ptr<Ring>> rings;

Ring& ringOf(int64_t number, const Tables& meetings) {
  const std::lock_guard lock(ringsMutex);
  TORCH_CHECK(number >= 0 && number < static_cast<int64_t>(rings.size()), "ring_attention: there is no ring ", number);
  Ring& ring = *rings[number];
  TORCH_CHECK(static_cast<int>(meetings.size()) == ring.size(), "ring_attention: ", meetings.size(),
              " tables of meetings for ", ring.size(), " ranks");
  return ring;
}

std::tuple<Tensor, Tensor> between(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& meetings,
                                   bool causal, Scale scale) {
  using Between = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&, bool, Scale);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::attention_between", "").typed<Between>();
  return op.call(query, key, value, meetings, causal, scale);
}

struct Operands {
  const Tensor &query, &key, &value;
  const Tables& meetings;
  Scale scale;
};

struct Result {
  Tensor out, logsumexp;
};

/// Gradients of one part, in the dtype of sums: of this rank's queries, and of a rank's keys and values.
std::tuple<Tensor, Tensor> gradientsBetween(const Tensor& grad, const Operands& of, const Tensor& held,
                                            const Result& result, int step) {
  using Backward = std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                      const Tensor&, const Tensor&, const Tensor&, bool, Scale);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::attention_between_backward", "").typed<Backward>();
  const auto sums = result.logsumexp.scalar_type();
  const auto [query, key, value] =
      op.call(grad, of.query, held[0], held[1], result.out, result.logsumexp, of.meetings[step], step == 0, of.scale);
  return {query.to(sums), at::stack({key, value}).to(sums)};
}

/// [heads, batch * tokens] beside [batch, tokens, heads, dim].
Tensor perHead(const Tensor& x, const Tensor& out) { return x.t().reshape({out.size(0), out.size(1), out.size(2), 1}); }

/// Two results over different keys, as one over both; `into` is changed.
void join(Result& into, const Tensor& out, const Tensor& logsumexp) {
  const Tensor both = at::logaddexp(into.logsumexp, logsumexp);
  into.out.mul_(perHead((into.logsumexp - both).exp_(), out));
  into.out.add_(out.to(into.out.scalar_type()).mul_(perHead((logsumexp - both).exp_(), out)));
  into.logsumexp = both;
}

Result forward(Ring& ring, const Operands& of) {
  Tensor held = at::stack({of.key, of.value});  // [2, batch, tokens, kvHeads, dim]
  Result result;
  for (int step = 0; step < ring.size(); ++step) {
    Tensor next;
    std::function<void()> wait = [] {};
    if (step + 1 < ring.size()) std::tie(next, wait) = ring.pass(held);
    if (step == 0) {
      std::tie(result.out, result.logsumexp) = between(of.query, held[0], held[1], of.meetings[0], true, of.scale);
      result.out = result.out.to(result.logsumexp.scalar_type());
    } else if (of.meetings[step].size(0) > 0) {
      const auto [out, logsumexp] = between(of.query, held[0], held[1], of.meetings[step], false, of.scale);
      join(result, out, logsumexp);
    }
    wait();
    held = next;
  }
  return {result.out.to(of.query.scalar_type()), result.logsumexp};
}

/// The gradients of query, and of key and value in one, in the dtype of sums.
std::tuple<Tensor, Tensor> backward(Ring& ring, const Operands& of, const Tensor& grad, const Result& result) {
  Tensor held = at::stack({of.key, of.value});
  Tensor query, own, carried;
  std::function<void()> carriedIsHere = [] {};
  for (int step = 0; step < ring.size(); ++step) {
    Tensor next, here, part;
    std::function<void()> wait = [] {};
    if (step + 1 < ring.size()) std::tie(next, wait) = ring.pass(held);
    if (step == 0) {
      std::tie(query, own) = gradientsBetween(grad, of, held, result, 0);
    } else {
      if (of.meetings[step].size(0) > 0) {
        std::tie(here, part) = gradientsBetween(grad, of, held, result, step);
        query.add_(here);
      } else {
        part = at::zeros(own.sizes(), own.options());
      }
      carriedIsHere();
      if (carried.defined()) part.add_(carried);
      std::tie(carried, carriedIsHere) = ring.pass(part);
    }
    wait();
    held = next;
  }
  carriedIsHere();
  if (carried.defined()) own.add_(carried);
  return {query, own};
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RingAttention : torch::autograd::Function<RingAttention> {
  /// `given`: the results of an earlier pass over the same operands.
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        const Tables& meetings, int64_t number, Scale scale, const std::optional<Tensor>& givenOut,
                        const std::optional<Tensor>& givenSums) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Result result = givenOut ? Result{givenOut->alias(), *givenSums}
                                   : qwen_pt::forward(ringOf(number, meetings), {query, key, value, meetings, scale});
    context->save_for_backward({query, key, value, result.out, result.logsumexp});
    context->saved_data["meetings"] = meetings;
    context->saved_data["ring"] = number;
    context->saved_data["scale"] = scale;
    return result.out;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "ring_attention has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const Tables meetings = context->saved_data["meetings"].toTensorVector();
    const auto [query, both] =
        qwen_pt::backward(ringOf(context->saved_data["ring"].toInt(), meetings),
                          {saved[0], saved[1], saved[2], meetings, context->saved_data["scale"].toOptional<double>()},
                          outputs[0].contiguous(), {saved[3], saved[4]});
    const auto dtype = saved[0].scalar_type();
    return {query.to(dtype), both[0].to(dtype), both[1].to(dtype), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

std::tuple<Tensor, Tensor> kept(const Tensor& query, const Tensor& key, const Tensor& value, at::TensorList meetings,
                                int64_t number, Scale scale) {
  const Tables tables = meetings.vec();
  const Result result = forward(ringOf(number, tables), {query, key, value, tables, scale});
  return {result.out, result.logsumexp};
}

Tensor plain(const Tensor& query, const Tensor& key, const Tensor& value, at::TensorList meetings, int64_t number,
             Scale scale) {
  return std::get<0>(kept(query, key, value, meetings, number, scale));
}

Tensor withGradients(const Tensor& query, const Tensor& key, const Tensor& value, at::TensorList meetings,
                     int64_t number, Scale scale) {
  if (c10::GradMode::is_enabled() && (query.requires_grad() || key.requires_grad() || value.requires_grad()))
    return RingAttention::apply(query, key, value, meetings.vec(), number, scale, std::optional<Tensor>(),
                                std::optional<Tensor>());
  at::AutoDispatchBelowADInplaceOrView below;
  return plain(query, key, value, meetings, number, scale);
}

Tensor recalled(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out, const Tensor& logsumexp,
                at::TensorList meetings, int64_t number, Scale scale) {
  return RingAttention::apply(query, key, value, meetings.vec(), number, scale, std::optional<Tensor>(out),
                              std::optional<Tensor>(logsumexp));
}

}  // namespace

int64_t openRing(std::shared_ptr<Group> group, std::vector<int> members, int place) {
  const auto ring = std::make_shared<Ring>();
  ring->group = group;
  ring->members = std::move(members);
  ring->place = place;
  const std::lock_guard lock(ringsMutex);
  rings.push_back(ring);
  return static_cast<int64_t>(rings.size()) - 1;
}

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "ring_attention(Tensor query, Tensor key, Tensor value, Tensor[] meetings, int ring, float? scale=None) -> "
      "Tensor");
  library.def(
      "ring_attention_kept(Tensor query, Tensor key, Tensor value, Tensor[] meetings, int ring, float? scale=None) -> "
      "(Tensor, Tensor)");
  library.def(
      "ring_attention_recalled(Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, "
      "Tensor[] meetings, int ring, float? scale=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("ring_attention", plain);
  library.impl("ring_attention_kept", kept);
  library.impl("ring_attention_recalled", recalled);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutogradCPU, library) {
  library.impl("ring_attention", withGradients);
  library.impl("ring_attention_kept", torch::CppFunction::makeFallthrough());
  library.impl("ring_attention_recalled", recalled);
}

}  // namespace qwen_pt

// Frozen linear layers of one input, each with its low-rank update (Hu et al. 2021, arXiv:2106.09685), as one node of
// autograd:
//
//   lora_linear(x [..., in], weights [out_i, in], a [r_i, in], b [out_i, r_i], scalings) -> [..., out_i] each
//   lora_linear_recalled(the same, given [..., out_i]) -> given, as if they had been computed
//   y_i = x W_i^T + s_i (x A_i^T) B_i^T
//
// With h_i = x A_i^T and g_i = s_i dy_i B_i:  dB_i = s_i dy_i^T h_i,  dA_i = g_i^T x,  dx = sum dy_i W_i + g_i A_i.
// Every product with the rank in it is made in the cheap order, [out, in] never exists, x is read once for all A and
// kept once. Composed of ATen operators, so it runs on every device. The weights get no gradient: a caller whose base
// layers train does without.

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using at::TensorList;
using Scalings = c10::ArrayRef<double>;

void check(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings) {
  const size_t count = weights.size();
  TORCH_CHECK(count > 0 && a.size() == count && b.size() == count && scalings.size() == count,
              "as many a, b and scalings are needed as weights, got ", a.size(), ", ", b.size(), ", ", scalings.size(),
              " and ", count);
  TORCH_CHECK(x.dim() >= 1, "x must be [..., in]");
  for (size_t i = 0; i < count; ++i) {
    TORCH_CHECK(weights[i].dim() == 2 && a[i].dim() == 2 && b[i].dim() == 2 && weights[i].size(1) == x.size(-1) &&
                    a[i].size(1) == x.size(-1) && b[i].size(1) == a[i].size(0) && b[i].size(0) == weights[i].size(0),
                "x ", x.sizes(), ", weight ", weights[i].sizes(), ", a ", a[i].sizes(), " and b ", b[i].sizes(),
                " do not belong together");
    for (const Tensor* each : {&weights[i], &a[i], &b[i]}) {
      TORCH_CHECK(each->scalar_type() == x.scalar_type(), "x is ", x.scalar_type(), " and an operand ",
                  each->scalar_type(), ": cast one of them");
    }
  }
}

std::vector<Tensor> composite(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings) {
  check(x, weights, a, b, scalings);
  std::vector<Tensor> outs;
  for (size_t i = 0; i < weights.size(); ++i) {
    outs.push_back(at::linear(x, weights[i]) + at::linear(at::linear(x, a[i]), b[i]) * scalings[i]);
  }
  return outs;
}

/// Where layer i's rank begins among all of them.
std::vector<int64_t> rankStarts(TensorList a) {
  std::vector<int64_t> starts{0};
  for (const Tensor& each : a) starts.push_back(starts.back() + each.size(0));
  return starts;
}

Tensor joined(TensorList a) { return a.size() == 1 ? a[0] : at::cat(a, 0); }

std::vector<int64_t> shapeOf(const Tensor& x, int64_t width) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = width;
  return shape;
}

/// The outputs, computed unless they are given, and h [rows, all ranks].
std::vector<Tensor> forwardOf(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings,
                              TensorList given, Tensor* kept) {
  check(x, weights, a, b, scalings);
  const Tensor rows = x.reshape({-1, x.size(-1)});
  const Tensor h = at::mm(rows, joined(a).t());
  const std::vector<int64_t> starts = rankStarts(a);
  std::vector<Tensor> outs;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!given.empty()) {
      outs.push_back(at::alias(given[i]));
      continue;
    }
    Tensor out = at::mm(rows, weights[i].t());
    out.addmm_(h.narrow(1, starts[i], a[i].size(0)), b[i].t(), 1, scalings[i]);
    outs.push_back(out.view(shapeOf(x, weights[i].size(0))));
  }
  if (kept != nullptr) *kept = h;
  return outs;
}

std::vector<Tensor> withoutGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                    Scalings scalings) {
  return forwardOf(x, weights, a, b, scalings, {}, nullptr);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LoraLinear : torch::autograd::Function<LoraLinear> {
  static variable_list forward(AutogradContext* context, const Tensor& x, TensorList weights, TensorList a,
                               TensorList b, Scalings scalings, TensorList given) {
    at::AutoDispatchBelowADInplaceOrView below;
    Tensor h;
    std::vector<Tensor> outs = forwardOf(x, weights, a, b, scalings, given, &h);
    variable_list saved{x, h};
    for (TensorList each : {weights, a, b}) saved.insert(saved.end(), each.begin(), each.end());
    context->save_for_backward(saved);
    context->saved_data["scalings"] = scalings.vec();
    context->saved_data["given"] = static_cast<int64_t>(given.size());
    context->saved_data["wants_x"] = context->needs_input_grad(0);
    context->set_materialize_grads(false);
    return outs;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "lora_linear has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const std::vector<double> scalings = context->saved_data["scalings"].toDoubleVector();
    const size_t count = scalings.size();
    const TensorList all(saved);
    const TensorList weights = all.slice(2, count), a = all.slice(2 + count, count), b = all.slice(2 + 2 * count, count);
    const Tensor& x = saved[0];
    const Tensor rows = x.reshape({-1, x.size(-1)});
    const std::vector<int64_t> starts = rankStarts(a);
    variable_list grads(2 + 3 * count + context->saved_data["given"].toInt());  // x, weights, a, b, scalings, given
    Tensor dRows;
    for (size_t i = 0; i < count; ++i) {
      if (!outputs[i].defined()) continue;
      const Tensor dOut = outputs[i].reshape({rows.size(0), -1});
      const Tensor g = at::mm(dOut, b[i]).mul_(scalings[i]);
      const Tensor h = saved[1].narrow(1, starts[i], a[i].size(0));
      grads[1 + count + i] = at::mm(g.t(), rows);
      grads[1 + 2 * count + i] = at::mm(h.t(), dOut).mul_(scalings[i]).t();
      if (!context->saved_data["wants_x"].toBool()) continue;
      if (dRows.defined()) {
        dRows.addmm_(dOut, weights[i]);
      } else {
        dRows = at::mm(dOut, weights[i]);
      }
      dRows.addmm_(g, a[i]);
    }
    if (dRows.defined()) grads[0] = dRows.view(x.sizes());
    return grads;
  }
};

/// What is given in place of the outputs: of their shapes and dtype.
void checkGiven(const Tensor& x, TensorList weights, TensorList given) {
  TORCH_CHECK(given.size() == weights.size(), "as many results must be given as weights, not ", given.size(), " for ",
              weights.size());
  for (size_t i = 0; i < given.size(); ++i) {
    TORCH_CHECK(given[i].scalar_type() == x.scalar_type() && given[i].sizes() == shapeOf(x, weights[i].size(0)),
                "a given result is ", given[i].scalar_type(), " ", given[i].sizes(), ", not ", x.scalar_type(), " ",
                shapeOf(x, weights[i].size(0)));
  }
}

std::vector<Tensor> recalledWithoutGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                            Scalings scalings, TensorList given) {
  check(x, weights, a, b, scalings);
  checkGiven(x, weights, given);
  std::vector<Tensor> outs;
  for (const Tensor& each : given) outs.push_back(at::alias(each));
  return outs;
}

bool isWatched(const Tensor& t) { return t.requires_grad(); }
bool anyWatched(TensorList list) { return std::any_of(list.begin(), list.end(), isWatched); }

bool isRecorded(const Tensor& x, TensorList weights, TensorList a, TensorList b) {
  if (!c10::GradMode::is_enabled()) return false;
  TORCH_CHECK(!anyWatched(weights), "lora_linear takes frozen weights: one of these wants a gradient");
  return isWatched(x) || anyWatched(a) || anyWatched(b);
}

std::vector<Tensor> withGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings) {
  if (!isRecorded(x, weights, a, b)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return withoutGradient(x, weights, a, b, scalings);
  }
  check(x, weights, a, b, scalings);
  return LoraLinear::apply(x, weights, a, b, scalings, TensorList());
}

std::vector<Tensor> recalledWithGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                         Scalings scalings, TensorList given) {
  if (!isRecorded(x, weights, a, b)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return recalledWithoutGradient(x, weights, a, b, scalings, given);
  }
  check(x, weights, a, b, scalings);
  checkGiven(x, weights, given);
  return LoraLinear::apply(x, weights, a, b, scalings, given);
}

/// Under autocast, in its dtype: what libtorch does for each product.
template <c10::DeviceType device>
std::vector<Tensor> cast(TensorList from) {
  std::vector<Tensor> to;
  for (const Tensor& each : from)
    to.push_back(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), each, device));
  return to;
}

template <c10::DispatchKey key, c10::DeviceType device>
std::vector<Tensor> underAutocast(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto lora =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::lora_linear", "").typed<decltype(composite)>();
  return lora.call(cast<device>(x)[0], cast<device>(weights), cast<device>(a), cast<device>(b), scalings);
}

template <c10::DispatchKey key, c10::DeviceType device>
std::vector<Tensor> recalledUnderAutocast(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                          Scalings scalings, TensorList given) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto lora = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("qwen_pt::lora_linear_recalled", "")
                               .typed<decltype(recalledWithGradient)>();
  return lora.call(cast<device>(x)[0], cast<device>(weights), cast<device>(a), cast<device>(b), scalings, given);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("lora_linear(Tensor x, Tensor[] weights, Tensor[] a, Tensor[] b, float[] scalings) -> Tensor[]");
  library.def(
      "lora_linear_recalled(Tensor x, Tensor[] weights, Tensor[] a, Tensor[] b, float[] scalings, Tensor[] given) -> "
      "Tensor[]");
  library.def("composite_lora_linear(Tensor x, Tensor[] weights, Tensor[] a, Tensor[] b, float[] scalings) -> Tensor[]",
              composite);
}

// Both keys: a forward that stood alone would lose its gradient without a word.
TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) {
  library.impl("lora_linear", withoutGradient);
  library.impl("lora_linear_recalled", recalledWithoutGradient);
}
TORCH_LIBRARY_IMPL(qwen_pt, Autograd, library) {
  library.impl("lora_linear", withGradient);
  library.impl("lora_linear_recalled", recalledWithGradient);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCPU, library) {
  library.impl("lora_linear", underAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
  library.impl("lora_linear_recalled", recalledUnderAutocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(qwen_pt, AutocastCUDA, library) {
  library.impl("lora_linear", underAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
  library.impl("lora_linear_recalled", recalledUnderAutocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>);
}

}  // namespace qwen_pt

// Frozen linear layers of one input, each with its low-rank update (Hu et al. 2021, arXiv:2106.09685), as one node of
// autograd:
//
//   lora_linear(x [..., in], weights [out_i, in], a [r_i, in], b [out_i, r_i], scalings, dropout, wide, stored)
//     -> [..., out_i] each
//   lora_linear_recalled(the same but for `given` [..., out_i] after scalings) -> given, as if they had been computed
//   y_i = x W_i^T + s_i (x_i A_i^T) B_i^T,  x_i = x, or what dropout leaves of it, drawn for each layer in turn
//
// With h_i = x_i A_i^T and g_i = s_i dy_i B_i:  dB_i = s_i dy_i^T h_i,  dA_i = g_i^T x_i,  dx = sum dy_i W_i + dx_i,
// dx_i = g_i A_i, or what dropout passes of it. Every product with the rank in it is made in the cheap order, [out, in]
// never exists, x is read once for all A and kept once; of a dropout its mask is kept, a byte an element. It is drawn and
// divided in dtype `wide` (x's own unless given; under autocast the adapter's); on the CPU PEFT draws the same. Composed of ATen
// operators, so it runs on every device. The weights get no gradient: a caller whose base layers train does without. They
// may be codes, each with its state after it in the list (products/frozen_weight.h).

#include "kernels/launchers/lora.h"
#include "products/frozen_weight.h"
#include "products/low_rank/low_rank.h"
#include "tensors/placement.h"

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using at::TensorList;
using Scalings = c10::ArrayRef<double>;

/// What is dropped of the adapters' input: a share of its elements, in a dtype.
struct Dropping {
  double rate;
  at::ScalarType wide;

  Dropping(double share, std::optional<at::ScalarType> dtype, const Tensor& x)
      : rate(share), wide(dtype.value_or(x.scalar_type())) {
    TORCH_CHECK(rate >= 0 && rate < 1, "dropout must be in [0, 1), not ", rate);
  }

  bool any() const { return rate > 0; }
  /// A mask of a shape, drawn in the dtype of `like`.
  Tensor drawn(const Tensor& like, at::IntArrayRef shape) const {
    return at::empty(shape, like.options()).bernoulli_(1 - rate).to(at::kBool);
  }
  /// 1 / (1 - rate), as the dtype has it.
  double factor() const {
    const double exact = 1 / (1 - rate);
    if (wide == at::kBFloat16) return static_cast<float>(c10::BFloat16(static_cast<float>(exact)));
    if (wide == at::kHalf) return static_cast<float>(c10::Half(static_cast<float>(exact)));
    return wide == at::kDouble ? exact : 1.0f / static_cast<float>(1 - rate);
  }
  /// 1 / (1 - rate) where something is left, else 0.
  Tensor factors(const Tensor& mask) const { return mask.to(wide).div_(1 - rate); }
};

/// What is multiplied by an input: the layers' operands, in turn.
struct Layers {
  TensorList weights, a, b;
  Scalings scalings;
  std::optional<at::ScalarType> stored;  // what the values of codes are rounded to

  size_t count() const { return a.size(); }
  /// Of the products.
  at::ScalarType dtype() const { return a[0].scalar_type(); }
  std::vector<FrozenWeight> frozen() const { return frozenWeights(weights, count(), a[0].size(1), stored); }
};

void check(const Tensor& x, const Layers& of, bool drops) {
  const size_t count = of.count();
  TORCH_CHECK(count > 0 && of.weights.size() % count == 0 && of.b.size() == count && of.scalings.size() == count,
              "as many a, b and scalings are needed as weights, got ", count, ", ", of.b.size(), ", ",
              of.scalings.size(), " and ", of.weights.size());
  TORCH_CHECK(x.dim() >= 1, "x must be [..., in]");
  for (const Tensor& each : of.a) TORCH_CHECK(each.dim() == 2, "a must be [rank, in], not ", each.sizes());
  const std::vector<FrozenWeight> weights = of.frozen();
  for (size_t i = 0; i < count; ++i) {
    const Tensor &a = of.a[i], &b = of.b[i];
    TORCH_CHECK(b.dim() == 2 && weights[i].columns() == x.size(-1) && a.size(1) == x.size(-1) &&
                    b.size(1) == a.size(0) && b.size(0) == weights[i].rows(),
                "x ", x.sizes(), ", weight [", weights[i].rows(), ", ", weights[i].columns(), "], a ", a.sizes(),
                " and b ", b.sizes(), " do not belong together");
    // what is dropped may be wider than what is multiplied
    const at::ScalarType dtype = drops ? of.dtype() : x.scalar_type();
    for (const Tensor* each : {&a, &b, &weights[i].weight()}) {
      if (weights[i].isCodes() && each == &weights[i].weight()) continue;
      TORCH_CHECK(each->scalar_type() == dtype, "x is ", dtype, " and an operand ", each->scalar_type(),
                  ": cast one of them");
    }
  }
}

std::vector<Tensor> composite(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings,
                              double dropout, std::optional<at::ScalarType> wide,
                              std::optional<at::ScalarType> stored) {
  const Dropping dropping(dropout, wide, x);
  const Layers of{weights, a, b, scalings, stored};
  check(x, of, dropping.any());
  const std::vector<FrozenWeight> frozen = of.frozen();
  std::vector<Tensor> outs;
  for (size_t i = 0; i < of.count(); ++i) {
    const Tensor seen = dropping.any() ? at::dropout(x.to(dropping.wide), dropout, /*train=*/true).to(of.dtype()) : x;
    const Tensor weight = frozen[i].isCodes() ? frozen[i].composedValues(0, frozen[i].rows(), of.dtype(), of.dtype())
                                              : frozen[i].weight();
    outs.push_back(at::linear(x.to(of.dtype()), weight) + at::linear(at::linear(seen, a[i]), b[i]) * scalings[i]);
  }
  return outs;
}

/// Where layer i's rank begins among all of them.
std::vector<int64_t> rankStarts(TensorList a) {
  std::vector<int64_t> starts{0};
  for (const Tensor& each : a) starts.push_back(starts.back() + each.size(0));
  return starts;
}

Tensor joined(TensorList list, int64_t dim = 0) { return list.size() == 1 ? list[0] : at::cat(list, dim); }

std::vector<int64_t> shapeOf(const Tensor& x, int64_t width) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = width;
  return shape;
}

/// What a backward pass needs beside the operands: h [rows, all ranks], and each layer's mask where something is dropped.
struct Kept {
  Tensor h;
  std::vector<Tensor> masks;
};

/// x a^T.
Tensor projected(const Tensor& x, const Tensor& a) {
  return suitsLowRank(x, a.size(0), a.scalar_type()) ? lowRankProject(x, a) : at::mm(x, a.t());
}

/// y += scale h b.
void update(Tensor& y, const Tensor& h, const Tensor& b, double scale) {
  if (suitsFusedUpdate(y, b.size(0), b.scalar_type())) {
    fusedUpdate(y, h, b, scale);
  } else if (suitsLowRank(y, b.size(0), b.scalar_type())) {
    lowRankUpdate(y, h, b, scale);
  } else {
    y.addmm_(h, b, 1, scale);
  }
}

/// h^T x.
Tensor reduced(const Tensor& h, const Tensor& x) {
  return suitsLowRank(x, h.size(1), h.scalar_type()) ? lowRankReduce(h, x, 1) : at::mm(h.t(), x);
}

/// scale a b, for what is not the processor's: there one product, which rounds once, saves a launch; the processor's
/// rounds before it is scaled, as it always has.
Tensor scaled(const Tensor& a, const Tensor& b, double scale) {
  return at::addmm(at::empty({1}, a.options()), a, b, /*beta=*/0, /*alpha=*/scale);
}

/// One layer's dropout: its mask, of the shape of x's rows.
class DroppedRows {
 public:
  DroppedRows(const Tensor& rows, const Tensor& mask, const Dropping& dropping, int64_t ranks, at::ScalarType dtype)
      : rows_(rows),
        mask_(mask),
        dropping_(dropping),
        dtype_(dtype),
        fused_(!suitsFusedDrop(rows, dtype) && suitsLowRank(rows, ranks, dtype)) {}

  Tensor projected(const Tensor& a) const {
    return fused_ ? lowRankProject(rows_, a, &dropped_) : at::mm(seen(), a.t());
  }

  Tensor reduced(const Tensor& g) const {
    return fused_ ? lowRankReduce(g, rows_, 1, &dropped_) : at::mm(g.t(), seen());
  }

  /// What g a is worth to x: added to `sum`, which is made where it is undefined.
  void pass(const Tensor& g, const Tensor& a, Tensor& sum) const {
    if (fused_ && dropping_.wide == at::kFloat) {
      if (!sum.defined()) sum = at::zeros(rows_.sizes(), rows_.options().dtype(at::kFloat));
      lowRankUpdateDropped(sum, g, a, dropped_);
      return;
    }
    if (suitsFusedDrop(rows_, dtype_) && a.size(0) <= kMostFusedRanks) {
      if (!sum.defined()) {
        sum = at::zeros(rows_.sizes(), rows_.options().dtype(at::promoteTypes(dtype_, dropping_.wide)));
      }
      fusedUpdate(sum, g, a, dropping_.factor(), mask_);
      return;
    }
    const Tensor passed = at::mm(g, a) * dropping_.factors(mask_);
    sum = sum.defined() ? sum.add_(passed) : passed;
  }

 private:
  Tensor seen() const {
    if (suitsFusedDrop(rows_, dtype_)) return fusedDrop(rows_, mask_, dropping_.factor(), dtype_);
    return (rows_ * dropping_.factors(mask_)).to(dtype_);
  }

  const Tensor& rows_;
  const Tensor& mask_;
  const Dropping& dropping_;
  const at::ScalarType dtype_;
  const bool fused_;
  const Dropped dropped_{mask_, dropping_.factor()};
};

Tensor hidden(const Tensor& rows, const Tensor& narrow, TensorList a, const Dropping& dropping, Kept* kept) {
  if (!dropping.any()) return projected(narrow, joined(a));
  const Tensor like = at::empty({0}, rows.options().dtype(dropping.wide));
  std::vector<Tensor> parts;
  for (const Tensor& each : a) {
    const Tensor mask = dropping.drawn(like, rows.sizes());
    parts.push_back(DroppedRows(rows, mask, dropping, each.size(0), each.scalar_type()).projected(each));
    if (kept != nullptr) kept->masks.push_back(mask);
  }
  return joined(parts, 1);
}

/// The outputs, computed unless they are given.
std::vector<Tensor> forwardOf(const Tensor& x, const Layers& of, TensorList given, const Dropping& dropping,
                              Kept* kept) {
  check(x, of, dropping.any());
  const std::vector<FrozenWeight> weights = of.frozen();
  const Tensor rows = x.reshape({-1, x.size(-1)});
  const Tensor narrow = rows.to(of.dtype());
  const Tensor h = hidden(rows, narrow, of.a, dropping, kept);
  const std::vector<int64_t> starts = rankStarts(of.a);
  std::vector<Tensor> outs;
  std::optional<Float8Matrix> rounded;
  for (size_t i = 0; i < of.count(); ++i) {
    if (!given.empty()) {
      outs.push_back(at::alias(given[i]));
      continue;
    }
    Tensor out = weights[i].forward(narrow, &rounded);
    update(out, h.narrow(1, starts[i], of.a[i].size(0)), of.b[i].t(), of.scalings[i]);
    outs.push_back(out.view(shapeOf(x, weights[i].rows())));
  }
  if (kept != nullptr) kept->h = h;
  return outs;
}

std::vector<Tensor> withoutGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings,
                                    double dropout, std::optional<at::ScalarType> wide,
                                    std::optional<at::ScalarType> stored) {
  return forwardOf(x, {weights, a, b, scalings, stored}, {}, Dropping(dropout, wide, x), nullptr);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LoraLinear : torch::autograd::Function<LoraLinear> {
  static variable_list forward(AutogradContext* context, const Tensor& x, TensorList weights, TensorList a,
                               TensorList b, const Layers& of, TensorList given, const Dropping& dropping) {
    at::AutoDispatchBelowADInplaceOrView below;
    Kept kept;
    std::vector<Tensor> outs = forwardOf(x, of, given, dropping, &kept);
    variable_list saved{x, kept.h};
    for (TensorList each : {weights, a, b, TensorList(kept.masks)}) saved.insert(saved.end(), each.begin(), each.end());
    context->save_for_backward(saved);
    context->saved_data["scalings"] = of.scalings.vec();
    context->saved_data["weights"] = static_cast<int64_t>(weights.size());
    context->saved_data["stored"] = static_cast<int64_t>(of.stored.value_or(at::kFloat));
    context->saved_data["given"] = static_cast<int64_t>(given.size());
    context->saved_data["rate"] = dropping.rate;
    context->saved_data["wide"] = static_cast<int64_t>(dropping.wide);
    context->saved_data["wants_x"] = context->needs_input_grad(0);
    context->set_materialize_grads(false);
    return outs;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "lora_linear has no second derivative (createGraph)");
    const auto saved = context->get_saved_variables();
    const std::vector<double> scalings = context->saved_data["scalings"].toDoubleVector();
    const size_t count = scalings.size(), held = context->saved_data["weights"].toInt();
    const TensorList all(saved);
    const TensorList masks = all.slice(2 + held + 2 * count);
    const Layers of{all.slice(2, held), all.slice(2 + held, count), all.slice(2 + held + count, count), scalings,
                    static_cast<at::ScalarType>(context->saved_data["stored"].toInt())};
    const std::vector<FrozenWeight> weights = of.frozen();
    const Tensor& x = saved[0];
    const Dropping dropping(context->saved_data["rate"].toDouble(),
                            static_cast<at::ScalarType>(context->saved_data["wide"].toInt()), x);
    const bool wantsX = context->saved_data["wants_x"].toBool();
    const Tensor rows = x.reshape({-1, x.size(-1)});
    const Tensor narrow = rows.to(of.dtype());
    const std::vector<int64_t> starts = rankStarts(of.a);
    // x, weights, a, b, layers, given, dropping
    variable_list grads(3 + held + 2 * count + context->saved_data["given"].toInt());
    Tensor dRows, dDropped;  // of x as the base layers see it, and through the masks
    for (size_t i = 0; i < count; ++i) {
      if (!outputs[i].defined()) continue;
      const Tensor dOut = outputs[i].reshape({rows.size(0), -1});
      const Tensor& a = of.a[i];
      const bool onHost = isOnHost(dOut);
      const Tensor g = onHost ? projected(dOut, of.b[i].t()).mul_(scalings[i]) : scaled(dOut, of.b[i], scalings[i]);
      const Tensor h = saved[1].narrow(1, starts[i], a.size(0));
      std::optional<DroppedRows> dropped;
      if (dropping.any()) dropped.emplace(rows, masks[i], dropping, a.size(0), a.scalar_type());
      grads[1 + held + i] = dropped ? dropped->reduced(g) : reduced(g, narrow);
      const Tensor dB = onHost ? reduced(h, dOut).mul_(scalings[i]) : scaled(h.t(), dOut, scalings[i]);
      grads[1 + held + count + i] = dB.t();
      if (!wantsX) continue;
      dRows = weights[i].inputGradient(dOut, dRows);
      if (dropped) {
        dropped->pass(g, a, dDropped);
      } else {
        update(dRows, g, a, 1);
      }
    }
    if (dDropped.defined()) dRows = (dRows + dDropped).to(x.scalar_type());
    if (dRows.defined()) grads[0] = dRows.view(x.sizes());
    return grads;
  }
};

/// What is given in place of the outputs: of their shapes and dtype.
void checkGiven(const Tensor& x, const Layers& of, TensorList given) {
  TORCH_CHECK(given.size() == of.count(), "as many results must be given as weights, not ", given.size(), " for ",
              of.count());
  for (size_t i = 0; i < given.size(); ++i) {
    const std::vector<int64_t> shape = shapeOf(x, of.b[i].size(0));
    TORCH_CHECK(given[i].scalar_type() == of.dtype() && given[i].sizes() == shape, "a given result is ",
                given[i].scalar_type(), " ", given[i].sizes(), ", not ", of.dtype(), " ", shape);
  }
}

std::vector<Tensor> recalledWithoutGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                            Scalings scalings, TensorList given, double dropout,
                                            std::optional<at::ScalarType> wide, std::optional<at::ScalarType> stored) {
  const Layers of{weights, a, b, scalings, stored};
  check(x, of, Dropping(dropout, wide, x).any());
  checkGiven(x, of, given);
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

std::vector<Tensor> withGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings,
                                 double dropout, std::optional<at::ScalarType> wide,
                                 std::optional<at::ScalarType> stored) {
  if (!isRecorded(x, weights, a, b)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return withoutGradient(x, weights, a, b, scalings, dropout, wide, stored);
  }
  const Dropping dropping(dropout, wide, x);
  const Layers of{weights, a, b, scalings, stored};
  check(x, of, dropping.any());
  return LoraLinear::apply(x, weights, a, b, of, TensorList(), dropping);
}

std::vector<Tensor> recalledWithGradient(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                         Scalings scalings, TensorList given, double dropout,
                                         std::optional<at::ScalarType> wide, std::optional<at::ScalarType> stored) {
  if (!isRecorded(x, weights, a, b)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return recalledWithoutGradient(x, weights, a, b, scalings, given, dropout, wide, stored);
  }
  const Dropping dropping(dropout, wide, x);
  const Layers of{weights, a, b, scalings, stored};
  check(x, of, dropping.any());
  checkGiven(x, of, given);
  return LoraLinear::apply(x, weights, a, b, of, given, dropping);
}

/// Under autocast, in its dtype: what libtorch does for each product.
template <c10::DeviceType device>
std::vector<Tensor> cast(TensorList from) {
  std::vector<Tensor> to;
  for (const Tensor& each : from)
    to.push_back(at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), each, device));
  return to;
}

/// The weights; codes and their state stay as they are.
template <c10::DeviceType device>
std::vector<Tensor> castWeights(TensorList weights, size_t count) {
  return weights.size() == count ? cast<device>(weights) : weights.vec();
}

/// x as the products take it; where something is dropped first, as it is.
template <c10::DeviceType device>
Tensor input(const Tensor& x, double dropout) {
  return dropout > 0 ? x : cast<device>(x)[0];
}

template <c10::DispatchKey key, c10::DeviceType device>
std::vector<Tensor> underAutocast(const Tensor& x, TensorList weights, TensorList a, TensorList b, Scalings scalings,
                                  double dropout, std::optional<at::ScalarType> wide,
                                  std::optional<at::ScalarType> stored) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto lora =
      c10::Dispatcher::singleton().findSchemaOrThrow("qwen_pt::lora_linear", "").typed<decltype(composite)>();
  if (!wide && !a.empty()) wide = a[0].scalar_type();
  return lora.call(input<device>(x, dropout), castWeights<device>(weights, a.size()), cast<device>(a), cast<device>(b),
                   scalings, dropout, wide, stored);
}

template <c10::DispatchKey key, c10::DeviceType device>
std::vector<Tensor> recalledUnderAutocast(const Tensor& x, TensorList weights, TensorList a, TensorList b,
                                          Scalings scalings, TensorList given, double dropout,
                                          std::optional<at::ScalarType> wide, std::optional<at::ScalarType> stored) {
  const c10::impl::ExcludeDispatchKeyGuard without{key};
  static const auto lora = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("qwen_pt::lora_linear_recalled", "")
                               .typed<decltype(recalledWithGradient)>();
  if (!wide && !a.empty()) wide = a[0].scalar_type();
  return lora.call(input<device>(x, dropout), castWeights<device>(weights, a.size()), cast<device>(a), cast<device>(b),
                   scalings, given, dropout, wide, stored);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def(
      "lora_linear(Tensor x, Tensor[] weights, Tensor[] a, Tensor[] b, float[] scalings, float dropout=0., "
      "ScalarType? wide=None, ScalarType? stored=None) -> Tensor[]");
  library.def(
      "lora_linear_recalled(Tensor x, Tensor[] weights, Tensor[] a, Tensor[] b, float[] scalings, Tensor[] given, "
      "float dropout=0., ScalarType? wide=None, ScalarType? stored=None) -> Tensor[]");
  library.def(
      "composite_lora_linear(Tensor x, Tensor[] weights, Tensor[] a, Tensor[] b, float[] scalings, float dropout=0., "
      "ScalarType? wide=None, ScalarType? stored=None) -> Tensor[]",
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

// Products with a frozen weight in each form. Dense ones are frozen_product.cc's, integers int8_product.cc's where x has more
// than a few rows, 8-bit floats float8.cc's. Other codes are multiplied by whatever suits the processor: in integers, through panels of float, packed as
// pairs of bfloat16, or, where it multiplies 16 bits itself otherwise and on every other device, by libtorch's product of a
// panel in x's dtype.
//
//   dequantize(codes, state, columns, stored, dtype) -> [rows, columns]; composite_dequantize by ATen alone,
//     fused_dequantize_4bit by an accelerator's kernel
//   product_coded(x [m, k], codes, state, columns, stored, transposed, kind) -> [m, n]: each kind (panels, int16, packed)
//     on any processor that can, for tests and measurements

#include "frozen_weight.h"

#include "frozen_product.h"
#include "kernels/launchers/four_bit.h"
#include "kernels/round_up.h"
#include "kernels/vector_kernels.h"
#include "product_kind.h"
#include "products/coded/eight_bit_matrix.h"
#include "products/coded/four_bit_matrix.h"
#include "products/integer/fixed_point_product.h"
#include "products/integer/int8_product.h"
#include "products/packed/packed_product.h"
#include "products/panels/panel_product.h"
#include "tensors/placement.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bitwise_and.h>
#include <ATen/ops/bitwise_right_shift.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <torch/library.h>

#include <algorithm>
#include <string_view>

namespace qwen_pt {

namespace {

using at::Tensor;
using at::TensorList;

constexpr int64_t kLeastRows = 64;       // fewer cost less in float than packing integers would
constexpr int64_t kLeastInt8Rows = 16;   // the same of 8 bits, whose codes are packed without arithmetic
constexpr int64_t kHostPanel = 1 << 18;  // numbers in a panel of the processor's 16-bit product: half a megabyte
constexpr int64_t kDevicePanel = 1 << 24;

bool isNarrow(at::ScalarType dtype) { return dtype == at::kBFloat16 || dtype == at::kHalf; }

/// A vector's elements from index [first / divisor, ...) on, `count` of them, each `divisor` times.
Tensor spread(const Tensor& vector, int64_t count, int64_t divisor) {
  const Tensor index = at::arange(count, vector.options().dtype(at::kLong));
  return at::index_select(vector, 0, at::div(index, divisor, "floor").to(at::kLong));
}

/// All scales as float, in bitsandbytes' order of roundings.
Tensor scalesOf(const FourBitState& state) {
  if (!state.nested()) return state.absmax;
  const int64_t runs = state.absmax.numel();
  const Tensor outer = spread(state.nestedAbsmax, runs, runLength(runs, state.nestedAbsmax.numel()));
  return at::index_select(state.nestedLevels, 0, state.absmax.reshape({-1}).to(at::kInt)).mul(outer).add(state.offset);
}

ProductKind kindOf(const Tensor& x, const Tensor& codes) {
  if (!isOnHost(x) || !isOnHost(codes)) return ProductKind::native;
  const auto dtype = x.scalar_type();
  if (dtype == at::kFloat) return ProductKind::panels;
  if (!isNarrow(dtype)) return ProductKind::native;
  const ProductKind kind = frozenProductKind(dtype);
  if (kind == ProductKind::int16 && x.size(0) < kLeastRows) return ProductKind::panels;
  // few rows: every code is read once, whatever the processor multiplies
  const bool narrow = kind == ProductKind::native || kind == ProductKind::packed;
  return narrow && x.size(0) <= kDotRows ? ProductKind::panels : kind;
}

Tensor laid(const Tensor& x) { return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous(); }

void multiply(ProductKind kind, const Tensor& x, const StoredMatrix& w, bool transposed, const Tensor& out,
              float beta) {
  if (kind == ProductKind::packed && suitsPacked(x, w, transposed)) {
    packedProduct(x, w, transposed, out, beta);
  } else if (kind == ProductKind::int16) {
    fixedPointProduct(x, w, transposed, out, beta);
  } else {
    panelProduct(laid(x), w, transposed, out, 1, beta);
  }
}

}  // namespace

FrozenWeight::FrozenWeight(const Tensor& weight, TensorList state, int64_t columns,
                           std::optional<at::ScalarType> stored)
    : weight_(weight), state_(state.vec()), columns_(columns), stored_(stored.value_or(at::kFloat)) {
  if (state_.empty()) {
    TORCH_CHECK(weight.dim() == 2, "a weight must be [out, in], not ", weight.sizes());
    rows_ = weight.size(0);
    columns_ = weight.size(1);
    return;
  }
  TORCH_CHECK(isNarrow(stored_) || stored_ == at::kFloat, "values of codes are of 16 bits or float32, not ", stored_);
  if (isFloat8()) {
    storedFloat8(weight, state_[0]);
    TORCH_CHECK(weight.size(1) == columns, "codes ", weight.sizes(), " have not ", columns, " columns");
    rows_ = weight.size(0);
    return;
  }
  if (isEightBits()) {
    checkEightBits(weight, state_[0]);
    if (isIntegers()) Int8Weight(weight, state_);
    TORCH_CHECK(weight.size(1) == columns, "codes ", weight.sizes(), " have not ", columns, " columns");
    rows_ = weight.size(0);
    return;
  }
  TORCH_CHECK(weight.scalar_type() == at::kByte && weight.is_contiguous() && columns > 0,
              "codes of 4 bits are uint8, two in each");
  rows_ = 2 * weight.numel() / columns;
}

float FrozenWeight::unit() const { return isIntegers() ? 1.0f : kEightBitUnit; }

bool FrozenWeight::byIntegers(const Tensor& x) const {
  const auto dtype = x.scalar_type();
  return isIntegers() && isOnHost(x) && isOnHost(weight_) && (isNarrow(dtype) || dtype == at::kFloat) &&
         x.size(0) >= kLeastInt8Rows && hasInt8Products();
}

std::unique_ptr<StoredMatrix> FrozenWeight::matrix(at::ScalarType rounded) const {
  if (isEightBits()) return std::make_unique<EightBitMatrix>(weight_, state_[0], rounded, unit());
  return std::make_unique<FourBitMatrix>(weight_, FourBitState(state_), rows_, columns_, rounded);
}

int64_t FrozenWeight::panelRows() const {
  const int64_t most = isOnHost(weight_) ? kHostPanel : kDevicePanel;
  if (isEightBits() || isFloat8()) return std::max<int64_t>(most / columns_, 1);
  const int64_t run = runLength(rows_ * columns_, FourBitState(state_).absmax.numel());
  return roundUp(std::max<int64_t>(most / columns_, 1), run);
}

Tensor FrozenWeight::composedValues(int64_t first, int64_t count, at::ScalarType dtype, at::ScalarType rounded) const {
  if (isFloat8()) {
    const Tensor codes = weight_.narrow(0, first, count).view(at::kFloat8_e4m3fn);
    return codes.to(at::kFloat).mul_(state_[0]).to(rounded).to(dtype);
  }
  if (isEightBits()) {
    const Tensor scales = state_[0].narrow(0, first, count).mul(unit()).unsqueeze(1);
    return (weight_.narrow(0, first, count) * scales).to(rounded).to(dtype);
  }
  const FourBitState state(state_);
  const int64_t run = runLength(rows_ * columns_, state.absmax.numel());
  const int64_t from = first * columns_, size = count * columns_, runs = (size + run - 1) / run;
  const Tensor codes = weight_.reshape({-1}).narrow(0, from / 2, (size + 1) / 2);
  const Tensor each = at::stack({at::bitwise_right_shift(codes, 4), at::bitwise_and(codes, 15)}, -1).reshape({-1});
  Tensor values = at::index_select(state.levels, 0, each.to(at::kInt));
  if (runs * run != values.numel()) values = at::constant_pad_nd(values, {0, runs * run - values.numel()});
  const Tensor scales = scalesOf(state).narrow(0, from / run, runs);
  values = values.view({runs, run}).mul(scales.view({-1, 1})).reshape({-1}).narrow(0, 0, size);
  return values.to(rounded).to(dtype).view({count, columns_});
}

Tensor FrozenWeight::values(int64_t first, int64_t count, at::ScalarType dtype, at::ScalarType rounded) const {
  if (!isCodes()) return weight_.narrow(0, first, count).to(dtype);
  if (isFloat8()) return composedValues(first, count, dtype, rounded);
  if (!isOnHost(weight_) && !isEightBits()) {
    const FourBitRows rows{rows_, columns_, first, count, dtype, rounded};
    const FourBitState state(state_);
    if (suitsFusedDequantize(weight_, state, rows)) return fusedDequantize(weight_, state, rows);
  }
  if (!isOnHost(weight_) || !(isNarrow(dtype) || dtype == at::kFloat))
    return composedValues(first, count, dtype, rounded);
  const std::unique_ptr<StoredMatrix> from = matrix(rounded);
  const Tensor out = at::empty({count, columns_}, weight_.options().dtype(dtype));
  auto* to = static_cast<char*>(out.data_ptr());
  const int64_t bytes = columns_ * out.element_size();
  at::parallel_for(0, count, std::max<int64_t>(32768 / columns_, 1), [&](int64_t begin, int64_t end) {
    from->read(dtype, first + begin, end - begin, 0, columns_, to + begin * bytes);
  });
  return out;
}

template <typename Body>
void FrozenWeight::forPanels(at::ScalarType dtype, at::ScalarType rounded, const Body& body) const {
  const int64_t height = panelRows();
  for (int64_t row = 0; row < rows_; row += height) {
    const int64_t count = std::min(height, rows_ - row);
    body(row, count, values(row, count, dtype, rounded));
  }
}

Tensor FrozenWeight::forward(const Tensor& x, std::optional<Float8Matrix>* rounded8) const {
  if (!isCodes()) return frozenForward(x, weight_);
  TORCH_CHECK(x.size(1) == columns_, "x ", x.sizes(), " and a weight of ", columns_, " columns do not belong together");
  if (isFloat8() && isFloat8Input(x.scalar_type())) {
    std::optional<Float8Matrix> own;
    std::optional<Float8Matrix>& input = rounded8 == nullptr ? own : *rounded8;
    if (!input) input = toFloat8(x, Float8Format::e4m3);
    return float8Product(*input, storedFloat8(weight_, state_[0]), x.scalar_type(), /*fast=*/true);
  }
  Tensor out = at::empty({x.size(0), rows_}, x.options());
  if (byIntegers(x)) {
    int8Product(x, Int8Weight(weight_, state_), true, out);
    return out;
  }
  const ProductKind kind = isFloat8() ? ProductKind::native : kindOf(x, weight_);
  // as bitsandbytes: values are rounded to x's dtype here; where the gradient is made too, or of 4 bits to the stored one
  const at::ScalarType rounded = isNarrow(x.scalar_type()) ? x.scalar_type() : at::kFloat;
  if (kind == ProductKind::native) {
    forPanels(x.scalar_type(), rounded, [&](int64_t row, int64_t count, const Tensor& panel) {
      out.narrow(1, row, count).copy_(at::mm(x, panel.t()));
    });
    return out;
  }
  multiply(kind, x, *matrix(rounded), true, out, 0);
  return out;
}

Tensor FrozenWeight::float8Gradient(const Tensor& dOut, Tensor sum) const {
  const Float8Matrix turned = storedFloat8(weight_, state_[0]).transposed();
  const Tensor part = float8Product(toFloat8(dOut, Float8Format::e5m2), turned, dOut.scalar_type(), /*fast=*/false);
  return sum.defined() ? sum.add_(part) : part;
}

Tensor FrozenWeight::inputGradient(const Tensor& dOut, Tensor sum) const {
  if (!isCodes()) return frozenInputGradient(dOut, weight_, sum);
  TORCH_CHECK(dOut.size(1) == rows_, "a gradient ", dOut.sizes(), " and a weight of ", rows_,
              " rows do not belong together");
  if (isFloat8() && isFloat8Input(dOut.scalar_type())) return float8Gradient(dOut, sum);
  const bool given = sum.defined();
  if (byIntegers(dOut) && !(given && sum.stride(1) != 1)) {
    if (!given) sum = at::empty({dOut.size(0), columns_}, dOut.options());
    int8Product(dOut, Int8Weight(weight_, state_), false, sum, given);
    return sum;
  }
  const ProductKind kind = isFloat8() ? ProductKind::native : kindOf(dOut, weight_);
  const at::ScalarType own = isNarrow(dOut.scalar_type()) ? dOut.scalar_type() : at::kFloat;
  const at::ScalarType rounded = isEightBits() ? own : stored_;
  if (kind == ProductKind::native || (given && sum.stride(1) != 1)) {
    forPanels(dOut.scalar_type(), rounded, [&](int64_t row, int64_t count, const Tensor& panel) {
      const Tensor part = dOut.narrow(1, row, count);
      sum = sum.defined() ? sum.addmm_(part, panel) : at::mm(part, panel);
    });
    return sum;
  }
  if (!given) sum = at::empty({dOut.size(0), columns_}, dOut.options());
  multiply(kind, dOut, *matrix(rounded), false, sum, given);
  return sum;
}

std::vector<FrozenWeight> frozenWeights(TensorList list, size_t count, int64_t columns,
                                        std::optional<at::ScalarType> stored) {
  TORCH_CHECK(count > 0 && list.size() % count == 0, list.size(), " tensors are not as many for each of ", count,
              " weights");
  const size_t each = list.size() / count;
  std::vector<FrozenWeight> made;
  made.reserve(count);
  for (size_t i = 0; i < list.size(); i += each) {
    made.emplace_back(list[i], list.slice(i + 1, each - 1), columns, stored);
  }
  return made;
}

namespace {

Tensor dequantize(const Tensor& codes, TensorList state, int64_t columns, at::ScalarType stored, at::ScalarType dtype) {
  const FrozenWeight weight(codes, state, columns, stored);
  return weight.values(0, weight.rows(), dtype, stored);
}

Tensor composite(const Tensor& codes, TensorList state, int64_t columns, at::ScalarType stored, at::ScalarType dtype) {
  const FrozenWeight weight(codes, state, columns, stored);
  return weight.composedValues(0, weight.rows(), dtype, stored);
}

Tensor fused(const Tensor& codes, TensorList state, int64_t columns, at::ScalarType stored, at::ScalarType dtype) {
  const FrozenWeight weight(codes, state, columns, stored);
  const FourBitRows rows{weight.rows(), columns, 0, weight.rows(), dtype, stored};
  const FourBitState parts(state);
  TORCH_CHECK(suitsFusedDequantize(codes, parts, rows), "no kernel takes these codes, or runs where they are");
  return fusedDequantize(codes, parts, rows);
}

Tensor product(const Tensor& x, const Tensor& codes, TensorList state, int64_t columns, at::ScalarType stored,
               bool transposed, std::string_view name) {
  const ProductKind kind = productKindNamed(name);
  TORCH_CHECK(kind != ProductKind::native, "kind must be panels, int16 or packed, not ", name);
  const FrozenWeight weight(codes, state, columns, stored);
  const Tensor out = at::empty({x.size(0), transposed ? weight.rows() : columns}, x.options());
  multiply(kind, x.contiguous(), *weight.matrix(stored), transposed, out, 0);
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("dequantize(Tensor codes, Tensor[] state, int columns, ScalarType stored, ScalarType dtype) -> Tensor");
  library.def(
      "composite_dequantize(Tensor codes, Tensor[] state, int columns, ScalarType stored, ScalarType dtype) -> "
      "Tensor",
      composite);
  library.def(
      "fused_dequantize_4bit(Tensor codes, Tensor[] state, int columns, ScalarType stored, ScalarType dtype) -> "
      "Tensor",
      fused);
  library.def(
      "product_coded(Tensor x, Tensor codes, Tensor[] state, int columns, ScalarType stored, bool transposed, str "
      "kind) "
      "-> Tensor");
}

TORCH_LIBRARY_IMPL(qwen_pt, CompositeExplicitAutograd, library) { library.impl("dequantize", dequantize); }
TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) { library.impl("product_coded", product); }

}  // namespace qwen_pt

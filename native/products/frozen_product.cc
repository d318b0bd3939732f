// Products with a frozen weight on the CPU: in integers or by libtorch's product (product_kind.h).
//
//   product(x [m, k], weight [n, k], transposed, kind) -> x W^T [m, n], or, where x is [m, n], x W [m, k]
//
// The operator is for tests and measurements: each kind on any processor. Layers reach the functions through
// linear_recast.cc, lora_linear.cc and linear_cross_entropy.cc.

#include "frozen_product.h"

#include "product_kind.h"
#include "products/integer/fixed_point_product.h"
#include "products/packed/packed_product.h"
#include "products/panels/panel_product.h"
#include "tensors/placement.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mm_cpu_dispatch.h>
#include <torch/library.h>

#include <string_view>

namespace qwen_pt {

namespace {

using at::Tensor;

/// Fewer rows than these cost less in float than packing the weight would.
constexpr int64_t kLeastRows = 64;

bool byIntegers(const Tensor& x, const Tensor& w) {
  const auto dtype = w.scalar_type();
  return isOnHost(x) && isOnHost(w) && (dtype == at::kBFloat16 || dtype == at::kHalf) && x.scalar_type() == dtype &&
         x.dim() == 2 && w.dim() == 2 && w.stride(1) == 1 && x.size(0) >= kLeastRows && w.size(1) > 0 &&
         frozenProductKind(dtype) == ProductKind::int16;
}

bool isWritable(const Tensor& out) { return out.stride(1) == 1; }

}  // namespace

Tensor frozenForward(const Tensor& x, const Tensor& w, Tensor out) {
  const bool given = out.defined();
  if (!byIntegers(x, w) || x.size(1) != w.size(1) || (given && !isWritable(out))) {
    return given ? at::mm_out(out, x, w.t()) : at::mm(x, w.t());
  }
  if (!given) out = at::empty({x.size(0), w.size(0)}, x.options());
  fixedPointProduct(x, DenseMatrix(w), /*transposed=*/true, out);
  return out;
}

Tensor frozenInputGradient(const Tensor& dOut, const Tensor& w, Tensor sum) {
  const bool given = sum.defined();
  if (!byIntegers(dOut, w) || dOut.size(1) != w.size(0) || (given && !isWritable(sum))) {
    return given ? sum.addmm_(dOut, w) : at::mm(dOut, w);
  }
  if (!given) sum = at::empty({dOut.size(0), w.size(1)}, dOut.options());
  fixedPointProduct(dOut, DenseMatrix(w), /*transposed=*/false, sum, given ? 1 : 0);
  return sum;
}

namespace {

Tensor product(const Tensor& x, const Tensor& weight, bool transposed, std::string_view name) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(transposed ? 1 : 0), "x ", x.sizes(),
              " and weight ", weight.sizes(), " do not belong together");
  const ProductKind kind = productKindNamed(name);
  if (kind == ProductKind::native) return transposed ? at::cpu::mm(x, weight.t()) : at::cpu::mm(x, weight);
  const auto dtype = weight.scalar_type();
  TORCH_CHECK(x.scalar_type() == dtype && (dtype == at::kBFloat16 || dtype == at::kHalf), "x is ", x.scalar_type(),
              " and weight ", dtype, ": both must be bfloat16, or float16");
  TORCH_CHECK(kind != ProductKind::packed || dtype == at::kBFloat16, "packed products are of bfloat16, not ", dtype);
  const Tensor rows = x.contiguous(), stored = weight.contiguous();
  const Tensor out = at::empty({x.size(0), weight.size(transposed ? 0 : 1)}, x.options());
  if (kind == ProductKind::packed) {
    packedProduct(rows, transposed ? stored.t() : stored, out);
  } else if (kind == ProductKind::int16) {
    fixedPointProduct(rows, DenseMatrix(stored), transposed, out);
  } else {
    panelProduct(rows, DenseMatrix(stored), transposed, out);
  }
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("product(Tensor x, Tensor weight, bool transposed, str kind) -> Tensor");
}

TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) { library.impl("product", product); }

}  // namespace qwen_pt

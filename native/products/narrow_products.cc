// Products of 16-bit numbers, in the place of libtorch's. Where the processor has no arithmetic for them, libtorch's own
// are 4 (forward) to 300 (the input's gradient) times slower than its float products; these go through panels
// (panel_product.h). Where it multiplies pairs of bfloat16, packed ones are a little faster (packed_product.h). The
// numbers are the same up to the order of sums: every product is rounded once.
//
// They replace libtorch's CPU kernels for mm and addmm (without arithmetic also bmm and baddbmm), which linear, matmul,
// their gradients and everything else here are made of; other dtypes go to libtorch's as before. docs/decisions says why
// by replacing.

#include "narrow_products.h"

#include "product_kind.h"
#include "products/packed/packed_product.h"
#include "products/panels/panel_product.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm_cpu_dispatch.h>
#include <ATen/ops/baddbmm_cpu_dispatch.h>
#include <ATen/ops/bmm_cpu_dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm_cpu_dispatch.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

namespace qwen_pt {

namespace {

using at::Scalar;
using at::Tensor;

/// What is replaced: two real matrices of one 16-bit dtype. Anything else gets libtorch's kernel, and its errors.
bool suits(const Tensor& a, const Tensor& b, const Tensor* out = nullptr) {
  const auto dtype = a.scalar_type();
  const ProductKind kind = productKind(dtype);
  if (kind == ProductKind::native || b.scalar_type() != dtype) return false;
  if (kind == ProductKind::packed && !suitsPacked(a, b)) return false;
  if (a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(0) || a.size(1) == 0) return false;
  if (out == nullptr) return true;
  return out->scalar_type() == dtype && out->dim() == 2 && out->size(0) == a.size(0) && out->size(1) == b.size(1) &&
         out->stride(1) == 1;
}

/// With neighbours along one dimension, as a product reads them.
Tensor laid(const Tensor& x) { return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous(); }

void multiply(const Tensor& a, const Tensor& b, const Tensor& out, double alpha = 1, double beta = 0) {
  if (productKind(a.scalar_type()) == ProductKind::packed) {
    return packedProduct(a, b, out, static_cast<float>(alpha), static_cast<float>(beta));
  }
  const Tensor left = laid(a), right = laid(b);
  // the columns of what is stored by columns are the rows of what is stored
  const bool transposed = right.stride(1) != 1;
  const Tensor stored = transposed ? right.t() : right;
  panelProduct(left, DenseMatrix(stored), transposed, out, static_cast<float>(alpha), static_cast<float>(beta));
}

Tensor mm(const Tensor& a, const Tensor& b) {
  if (!suits(a, b)) return at::cpu::mm(a, b);
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  multiply(a, b, out);
  return out;
}

Tensor& mmOut(const Tensor& a, const Tensor& b, Tensor& out) {
  if (!suits(a, b, &out)) return at::cpu::mm_outf(a, b, out);
  multiply(a, b, out);
  return out;
}

bool isLike(const Tensor& self, const Tensor& a, const Tensor& b) {
  return self.scalar_type() == a.scalar_type() && self.dim() >= 1 && self.dim() <= 2 &&
         (self.dim() == 1 || self.size(0) == a.size(0) || self.size(0) == 1) &&
         (self.size(-1) == b.size(1) || self.size(-1) == 1);
}

Tensor addmm(const Tensor& self, const Tensor& a, const Tensor& b, const Scalar& beta, const Scalar& alpha) {
  if (!suits(a, b) || !isLike(self, a, b)) return at::cpu::addmm(self, a, b, beta, alpha);
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  if (beta.toDouble() != 0) out.copy_(self);
  multiply(a, b, out, alpha.toDouble(), beta.toDouble());
  return out;
}

Tensor& addmmOut(const Tensor& self, const Tensor& a, const Tensor& b, const Scalar& beta, const Scalar& alpha,
                 Tensor& out) {
  if (!suits(a, b, &out) || !isLike(self, a, b)) return at::cpu::addmm_outf(self, a, b, beta, alpha, out);
  if (beta.toDouble() != 0 && !out.is_same(self)) out.copy_(self);
  multiply(a, b, out, alpha.toDouble(), beta.toDouble());
  return out;
}

Tensor& addmmInPlace(Tensor& self, const Tensor& a, const Tensor& b, const Scalar& beta, const Scalar& alpha) {
  if (!suits(a, b, &self)) return at::cpu::addmm_(self, a, b, beta, alpha);
  multiply(a, b, self, alpha.toDouble(), beta.toDouble());
  return self;
}

bool suitsBatches(const Tensor& a, const Tensor& b) {
  const auto dtype = a.scalar_type();
  return productKind(dtype) == ProductKind::panels && b.scalar_type() == dtype && a.dim() == 3 && b.dim() == 3;
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  if (!suitsBatches(a, b)) return at::cpu::bmm(a, b);
  return at::cpu::bmm(a.to(at::kFloat), b.to(at::kFloat)).to(a.scalar_type());
}

Tensor& bmmOut(const Tensor& a, const Tensor& b, Tensor& out) {
  if (!suitsBatches(a, b) || out.scalar_type() != a.scalar_type()) return at::cpu::bmm_outf(a, b, out);
  const Tensor result = qwen_pt::bmm(a, b);  // at::bmm is found beside it where a header declares it
  out.resize_(result.sizes());
  return out.copy_(result);
}

Tensor baddbmm(const Tensor& self, const Tensor& a, const Tensor& b, const Scalar& beta, const Scalar& alpha) {
  if (!suitsBatches(a, b) || self.scalar_type() != a.scalar_type()) return at::cpu::baddbmm(self, a, b, beta, alpha);
  return at::cpu::baddbmm(self.to(at::kFloat), a.to(at::kFloat), b.to(at::kFloat), beta, alpha).to(a.scalar_type());
}

/// libtorch says on stderr that a kernel is replaced; here it is meant to be.
struct Quiet final : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

}  // namespace

void installNarrowProducts() {
  const bool panels =
      productKind(at::kBFloat16) == ProductKind::panels || productKind(at::kHalf) == ProductKind::panels;
  if (!panels && productKind(at::kBFloat16) != ProductKind::packed) return;
  Quiet quiet;
  const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  // never freed: libtorch must not find the kernels gone while the process ends
  static auto* library = new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
  library->impl("mm", mm);
  library->impl("mm.out", mmOut);
  library->impl("addmm", addmm);
  library->impl("addmm.out", addmmOut);
  library->impl("addmm_", addmmInPlace);
  if (!panels) return;
  library->impl("bmm", bmm);
  library->impl("bmm.out", bmmOut);
  library->impl("baddbmm", baddbmm);
}

}  // namespace qwen_pt

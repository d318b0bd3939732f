// RMS normalisation (Zhang and Sennrich 2019, arXiv:1910.07467) of rows, and the rotary embedding after it (Su et al.
// 2021, arXiv:2104.09864). With r = 1 / sqrt(mean(x^2) + eps) and n = x r:
//
//   y = w n,    dw = sum over rows of dy n,    dx = r (w dy - n mean(w dy n))
//   rotated by a: y_i' = y_i cos_i - y_j sin_i, y_j' = y_j cos_j + y_i sin_j for j = i + dim / 2; backward by -a
//
// In 16 bits the order of roundings shows, and forward it is the one that Qwen3 was trained with: n is rounded before
// it meets the weight, y before it is turned, each product before their sum. The backward pass rounds once, at its end.
// r is made again there, for x has to be read anyway.
// Compiled once for each capability.
#pragma once

#include "kernels/widen.h"
#include "rows_kernel.h"

#include <cmath>
#include <memory>

namespace qwen_pt {
namespace {

template <typename In, typename Out>
class NormRows {
  using Sum = SumOf<In>;
  using Vec = at::vec::Vectorized<Sum>;

 public:
  explicit NormRows(const NormProblem& problem)
      : p_(problem),
        dim_(problem.dim),
        weight_(static_cast<const Sum*>(problem.weight)),
        memory_(new Sum[3 * problem.dim]),
        x_(memory_.get()),
        grad_(x_ + dim_),
        spare_(grad_ + dim_) {}

  void forward(int64_t row) {
    widen(static_cast<const In*>(p_.input) + row * dim_, x_, dim_);
    const Vec scale(reciprocalRoot());
    forVectors<Vec>(dim_, [&](int64_t i, int64_t n) { storeSome(loadSome<Vec>(x_ + i, n) * scale, x_ + i, n); });
    roundTo(x_, reinterpret_cast<In*>(spare_), dim_);
    forVectors<Vec>(dim_, [&](int64_t i, int64_t n) {
      storeSome(loadSome<Vec>(x_ + i, n) * loadSome<Vec>(weight_ + i, n), x_ + i, n);
    });
    if (p_.cosine != nullptr) {
      roundTo(x_, reinterpret_cast<Out*>(spare_), dim_);
      rotate<false>(row, x_);
    }
    narrow(x_, static_cast<Out*>(p_.out) + row * dim_, dim_);
  }

  void backward(int64_t row) {
    widen(static_cast<const In*>(p_.input) + row * dim_, x_, dim_);
    widen(static_cast<const Out*>(p_.dOut) + row * dim_, grad_, dim_);
    const Sum root = reciprocalRoot();
    const Vec scale(root);
    if (p_.cosine != nullptr) rotate<true>(row, grad_);
    auto* dWeight = static_cast<Sum*>(p_.dWeight);
    Vec along(Sum(0));
    forVectors<Vec>(dim_, [&](int64_t i, int64_t n) {
      const Vec normed = loadSome<Vec>(x_ + i, n) * scale, given = loadSome<Vec>(grad_ + i, n);
      if (dWeight != nullptr) storeSome(at::vec::fmadd(given, normed, loadSome<Vec>(dWeight + i, n)), dWeight + i, n);
      const Vec grad = given * loadSome<Vec>(weight_ + i, n);
      along = at::vec::fmadd(grad, normed, along);
      storeSome(normed, x_ + i, n);
      storeSome(grad, grad_ + i, n);
    });
    if (p_.dInput == nullptr) return;
    const Vec mean(sumOf(along) / static_cast<Sum>(dim_));
    forVectors<Vec>(dim_, [&](int64_t i, int64_t n) {
      const Vec grad = loadSome<Vec>(grad_ + i, n) - loadSome<Vec>(x_ + i, n) * mean;
      storeSome(grad * scale, grad_ + i, n);
    });
    narrow(grad_, static_cast<In*>(p_.dInput) + row * dim_, dim_);
  }

 private:
  Sum reciprocalRoot() const {
    Vec squares(Sum(0));
    forVectors<Vec>(dim_, [&](int64_t i, int64_t n) {
      const Vec x = loadSome<Vec>(x_ + i, n);
      squares = at::vec::fmadd(x, x, squares);
    });
    return 1 / std::sqrt(sumOf(squares) / static_cast<Sum>(dim_) + static_cast<Sum>(p_.eps));
  }

  template <bool kBack>
  void rotate(int64_t row, Sum* x) const {
    const int64_t half = dim_ / 2, at = row / p_.rowsPerPosition % p_.positions * dim_;
    const Sum* cosine = static_cast<const Sum*>(p_.cosine) + at;
    const Sum* sine = static_cast<const Sum*>(p_.sine) + at;
    forVectors<Vec>(half, [&](int64_t i, int64_t n) {
      const Vec low = loadSome<Vec>(x + i, n), high = loadSome<Vec>(x + half + i, n);
      // the sine that an element is multiplied by is that of where it goes
      const Vec sineLow = loadSome<Vec>(sine + i, n), sineHigh = loadSome<Vec>(sine + half + i, n);
      Vec straightLow = low * loadSome<Vec>(cosine + i, n), straightHigh = high * loadSome<Vec>(cosine + half + i, n);
      Vec turnedLow = high * (kBack ? sineHigh : sineLow), turnedHigh = low * (kBack ? sineLow : sineHigh);
      if constexpr (!kBack) {
        roundBoth<Out>(straightLow, straightHigh);
        roundBoth<Out>(turnedLow, turnedHigh);
      }
      storeSome(kBack ? straightLow + turnedLow : straightLow - turnedLow, x + i, n);
      storeSome(kBack ? straightHigh - turnedHigh : straightHigh + turnedHigh, x + half + i, n);
    });
  }

  const NormProblem& p_;
  const int64_t dim_;
  const Sum* weight_;
  std::unique_ptr<Sum[]> memory_;
  Sum *x_, *grad_, *spare_;
};

}  // namespace
}  // namespace qwen_pt

// SwiGLU's product (Shazeer 2020, arXiv:2002.05202): silu(gate) * up, silu(g) = g s with s = 1 / (1 + exp(-g)).
//
//   d up = dy silu(g)        d gate = dy up s (1 + g (1 - s))
//
// s is made again in the backward pass. Compiled once for each capability.
#pragma once

#include "kernels/widen.h"
#include "rows_kernel.h"

#include <algorithm>

namespace qwen_pt {
namespace {

template <typename In>
class Swiglu {
  using Sum = SumOf<In>;
  using Vec = at::vec::Vectorized<Sum>;
  static constexpr int64_t kRun = 512;  // numbers that are widened at a time

 public:
  static void forward(const SwigluProblem& p, int64_t first, int64_t end) {
    Sum gate[kRun], up[kRun];
    In rounded[kRun];
    for (int64_t at = first; at < end; at += kRun) {
      const int64_t count = std::min(kRun, end - at);
      widen(static_cast<const In*>(p.gate) + at, gate, count);
      widen(static_cast<const In*>(p.up) + at, up, count);
      forVectors<Vec>(count, [&](int64_t i, int64_t n) {
        const Vec x = loadSome<Vec>(gate + i, n);
        storeSome(x * sigmoid(x), gate + i, n);
      });
      roundTo(gate, rounded, count);  // as by silu alone, which is how Qwen3 was trained
      forVectors<Vec>(count, [&](int64_t i, int64_t n) {
        storeSome(loadSome<Vec>(gate + i, n) * loadSome<Vec>(up + i, n), gate + i, n);
      });
      narrow(gate, static_cast<In*>(p.out) + at, count);
    }
  }

  static void backward(const SwigluProblem& p, int64_t first, int64_t end) {
    Sum gate[kRun], up[kRun], grad[kRun];
    for (int64_t at = first; at < end; at += kRun) {
      const int64_t count = std::min(kRun, end - at);
      widen(static_cast<const In*>(p.gate) + at, gate, count);
      widen(static_cast<const In*>(p.up) + at, up, count);
      widen(static_cast<const In*>(p.dOut) + at, grad, count);
      forVectors<Vec>(count, [&](int64_t i, int64_t n) {
        const Vec one(Sum(1));
        const Vec x = loadSome<Vec>(gate + i, n), other = loadSome<Vec>(up + i, n), given = loadSome<Vec>(grad + i, n);
        const Vec share = sigmoid(x);
        storeSome(given * x * share, up + i, n);
        storeSome(given * other * share * at::vec::fmadd(x, one - share, one), gate + i, n);
      });
      narrow(gate, static_cast<In*>(p.dGate) + at, count);
      narrow(up, static_cast<In*>(p.dUp) + at, count);
    }
  }

 private:
  static C10_ALWAYS_INLINE Vec sigmoid(const Vec& x) {
    const Vec one(Sum(1));
    return one / (one + expOf<In>(x.neg()));
  }
};

}  // namespace
}  // namespace qwen_pt

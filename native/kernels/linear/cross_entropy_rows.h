// Cross entropy of rows of logits against one label each, and its gradient in the logits' own place:
//
//   nll = log(sum_j exp(z_j)) - z_label        z_j <- (exp(z_j) / sum - [j = label]) * scale
//
// Computed in float (double for double) from the maximum on; a row of a large vocabulary stays in the second-level
// cache through its three passes. Compiled once for each capability.
#pragma once

#include "kernels/rows/rows_kernel.h"
#include "kernels/widen.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qwen_pt {
namespace {

template <typename In>
class CrossEntropyRows {
  using Sum = SumOf<In>;
  using Vec = at::vec::Vectorized<Sum>;
  static constexpr int64_t kRun = 512;  // numbers that are widened at a time

 public:
  static void rows(const CrossEntropyProblem& p, int64_t first, int64_t end) {
    for (int64_t row = first; row < end; ++row) {
      In* logits = static_cast<In*>(p.logits) + row * p.classes;
      const int64_t label = p.labels[row];
      const Sum picked = static_cast<Sum>(logits[label]);
      const Sum highest = maximum(logits, p.classes);
      const Sum total = sumOfExponentials(logits, p.classes, highest);
      p.losses[row] = std::log(total) - (picked - highest);
      if (!p.gradient) continue;
      const Sum scale = static_cast<Sum>(p.scale);
      Sum own[Vec::size()];
      (expOf<In>(Vec(picked) - Vec(highest)) * Vec(scale / total)).store(own);
      turn(logits, p.classes, highest, scale / total);
      logits[label] = static_cast<In>(own[0] - scale);
    }
  }

 private:
  template <typename Body>
  static void forRuns(const In* from, int64_t count, const Body& body) {
    Sum wide[kRun];
    for (int64_t at = 0; at < count; at += kRun) {
      const int64_t length = std::min(kRun, count - at);
      if constexpr (sizeof(In) == 2) {
        widen(from + at, wide, length);
        body(wide, at, length);
      } else {
        body(from + at, at, length);
      }
    }
  }

  static Sum maximum(const In* from, int64_t count) {
    const Vec least(-std::numeric_limits<Sum>::infinity());
    Vec highest = least;
    forRuns(from, count, [&](const Sum* x, int64_t, int64_t length) {
      forVectors<Vec>(length, [&](int64_t i, int64_t n) {
        const Vec some = loadSome<Vec>(x + i, n);
        highest = at::vec::maximum(highest, n == Vec::size() ? some : Vec::set(least, some, n));
      });
    });
    return at::vec::vec_reduce_all<Sum>([](const Vec& a, const Vec& b) { return at::vec::maximum(a, b); }, highest);
  }

  /// Sums of runs are added up in double: a vocabulary has 150,000 terms.
  static Sum sumOfExponentials(const In* from, int64_t count, Sum highest) {
    double total = 0;
    const Vec shift(-highest);
    forRuns(from, count, [&](const Sum* x, int64_t, int64_t length) {
      Vec sum(Sum(0));
      forVectors<Vec>(length, [&](int64_t i, int64_t n) {
        const Vec term = (loadSome<Vec>(x + i, n) + shift).exp();
        sum = sum + (n == Vec::size() ? term : Vec::set(Vec(Sum(0)), term, n));
      });
      total += qwen_pt::sumOf(sum);
    });
    return static_cast<Sum>(total);
  }

  static void turn(In* logits, int64_t count, Sum highest, Sum factor) {
    const Vec top(highest), times(factor);
    Sum turned[kRun];
    forRuns(logits, count, [&](const Sum* x, int64_t at, int64_t length) {
      forVectors<Vec>(length, [&](int64_t i, int64_t n) {
        storeSome(expOf<In>(loadSome<Vec>(x + i, n) - top) * times, turned + i, n);
      });
      narrow(turned, logits + at, length);
    });
  }
};

}  // namespace
}  // namespace qwen_pt

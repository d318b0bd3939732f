// Attention, forward, a key/value head at a time: its keys and values are packed once, then every block of
// queries of every query head of the group meets the blocks of keys that it sees (Dao 2023, arXiv:2307.08691,
// with the online softmax of Milakov and Gimelshein 2018, arXiv:1805.02867). What the mask hides is skipped in
// steps of a register tile, so the work is that of the triangle. Compiled once for each capability.
#pragma once

#include "attention_kernel.h"
#include "kernels/linear/matrix_tile.h"

#include <cmath>
#include <limits>

namespace qwen_pt {
namespace {

template <typename In>
Rows<In> headRows(const HeadRows& of, int64_t token, int64_t head, int64_t count, int64_t dim) {
  return {static_cast<const In*>(of.data) + token * of.token + head * of.head, of.token, count, dim};
}

template <typename Factor, typename Vec>
C10_ALWAYS_INLINE void storeFactors(Factor* to, const Vec& x) {
#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
  if constexpr (std::is_same_v<Factor, c10::BFloat16>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(x));
    return;
  }
#endif
  if constexpr (!std::is_same_v<Factor, c10::BFloat16>) x.store(to);
}

/// to[i] = from[i] * factor, rounded. `from` is scaled.
template <typename In, typename Sum>
void writeScaled(Sum* from, Sum factor, In* to, int64_t count) {
  using Vec = at::vec::Vectorized<Sum>;
  forVectors<Vec>(count,
                  [&](int64_t i, int64_t n) { storeSome(loadSome<Vec>(from + i, n) * Vec(factor), from + i, n); });
  narrow(from, to, count);
}

template <typename In>
class AttentionForward {
  using T = Tile<In>;
  using Factor = typename T::Factor;
  using Sum = typename T::Sum;
  using Vec = typename T::Vec;
  static constexpr int64_t kQueries = 96;  // rows of a block of queries: a multiple of every tile's rows
  static constexpr int64_t kKeys = 512;    // of a block of keys: a multiple of every tile's columns
  static constexpr int64_t kPair = T::kPair;

 public:
  AttentionForward(const AttentionProblem& problem, char* memory)
      : problem_(problem), width_(roundUp(problem.dim, T::kColumns)), depth_(roundUp(problem.dim, kPair)) {
    Scratch scratch(memory);
    const int64_t keys = roundUp(problem.mostKeys, T::kColumns);
    keys_ = scratch.take<Factor>(keys * depth_);
    values_ = scratch.take<Factor>(keys * width_);
    queries_ = scratch.take<Factor>(kQueries * depth_);
    scores_ = scratch.take<Sum>(T::kRows * kKeys);
    shares_ = scratch.take<Factor>(T::kRows * kKeys);
    sums_ = scratch.take<Sum>(kQueries * width_);
    used_ = scratch.used();
  }

  int64_t used() const { return used_; }

  void task(int64_t index) {
    const auto& p = problem_;
    const int64_t kvHead = index / p.parts, part = index % p.parts;
    const int64_t group = p.heads / p.kvHeads;
    int64_t block = 0;  // counts blocks of queries over all meetings, to deal them out
    for (int64_t m = 0; m < p.count; ++m) {
      const Meeting& meeting = p.meetings[m];
      bool packed = false;
      for (int64_t first = 0; first < meeting.queries; first += kQueries, ++block) {
        if (block % p.parts != part) continue;
        if (!packed) pack(kvHead, meeting);
        packed = true;
        for (int64_t h = kvHead * group; h < (kvHead + 1) * group; ++h) queryBlock(h, meeting, first);
      }
    }
  }

 private:
  void pack(int64_t kvHead, const Meeting& meeting) {
    const int64_t start = meeting.key, length = meeting.keys;
    depthOfKeys_ = roundUp(length, T::kColumns);
    packRightTransposed<In>(headRows<In>(problem_.key, start, kvHead, length, problem_.dim), depth_, keys_);
    packRight<In>(headRows<In>(problem_.value, start, kvHead, length, problem_.dim), depthOfKeys_, values_);
  }

  /// Keys that the queries of a meeting before `end` see.
  int64_t seenBefore(int64_t end) const { return problem_.isCausal ? end : allKeys_; }

  void queryBlock(int64_t head, const Meeting& meeting, int64_t first) {
    const auto& p = problem_;
    const int64_t start = meeting.query;
    const int64_t count = std::min(kQueries, meeting.queries - first);
    allKeys_ = meeting.keys;
    packLeft<In>(headRows<In>(p.query, start + first, head, count, p.dim), roundUp(count, T::kRows), depth_, queries_);
    std::fill(max_, max_ + kQueries, -std::numeric_limits<Sum>::infinity());
    std::fill(total_, total_ + kQueries, Sum(0));
    for (int64_t key = 0; key < seenBefore(first + count); key += kKeys) {
      for (int64_t row = 0; row < count; row += T::kRows) rowsAgainstKeys(first, row, key, count);
    }
    auto* logsumexp = static_cast<Sum*>(p.logsumexp) + head * p.tokens + start + first;
    const Rows<In> out = headRows<In>(p.out, start + first, head, count, p.dim);
    for (int64_t i = 0; i < count; ++i) {
      logsumexp[i] = max_[i] + std::log(total_[i]);
      writeScaled(sums_ + i * width_, 1 / total_[i], const_cast<In*>(out.row(i)), p.dim);
    }
  }

  /// A tile's rows of queries, from `row` of the block that starts at `first`, against the keys from `key` on.
  void rowsAgainstKeys(int64_t first, int64_t row, int64_t key, int64_t count) {
    // the last of these rows sees this many of the block's keys
    const int64_t seen = std::min(kKeys, seenBefore(first + std::min(row + T::kRows, count)) - key);
    if (seen <= 0) return;
    const int64_t columns = roundUp(seen, T::kColumns);
    for (int64_t j = 0; j < columns; j += T::kColumns) {
      T::multiply(queries_ + row * depth_, depth_, keys_ + (key + j) * depth_, depth_ / kPair, scores_ + j, kKeys,
                  false);
    }
    Sum* sums = sums_ + row * width_;
    for (int64_t i = 0; i < T::kRows; ++i) {
      const Sum kept = softmax(i, columns, seenBefore(first + row + i + 1) - key, max_[row + i], total_[row + i]);
      if (key > 0 && kept != 1) {
        for (int64_t j = 0; j < width_; j += T::kLanes) {
          (Vec::loadu(sums + i * width_ + j) * Vec(kept)).store(sums + i * width_ + j);
        }
      }
    }
    const int64_t steps = roundUp(seen, kPair) / kPair;
    for (int64_t j = 0; j < width_; j += T::kColumns) {
      T::multiply(shares_, kKeys, values_ + j * depthOfKeys_ + key * T::kColumns, steps, sums + j, width_, key > 0);
    }
  }

  /// Turns a row's scores into shares, not yet divided by their sum; the mask leaves the first `seen` keys.
  /// Returns what the sums so far must be multiplied by.
  Sum softmax(int64_t row, int64_t columns, int64_t seen, Sum& max, Sum& total) {
    Sum* scores = scores_ + row * kKeys;
    Factor* shares = shares_ + row * kKeys;
    const int64_t end = std::min(roundUp(std::max<int64_t>(seen, 0), T::kLanes), columns);
    Vec highest(-std::numeric_limits<Sum>::infinity());
    for (int64_t j = 0; j < end; j += T::kLanes) {
      Vec score = Vec::loadu(scores + j);
      if (j + T::kLanes > seen) {
        const Vec hidden(-std::numeric_limits<Sum>::infinity());
        score = Vec::set(hidden, score, seen - j);
        score.store(scores + j);
      }
      highest = at::vec::maximum(highest, score);
    }
    Sum kept = 1;
    if (end > 0) {
      const Sum scale = static_cast<Sum>(problem_.scale);
      const Sum here = at::vec::vec_reduce_all<Sum>(
          [](const Vec& x, const Vec& y) C10_ALWAYS_INLINE_ATTRIBUTE { return at::vec::maximum(x, y); }, highest);
      const Sum next = std::max(max, here * scale);
      kept = std::exp(max - next);
      max = next;
      const Vec factor(scale), shift(-next);
      Vec sum(Sum(0));
      for (int64_t j = 0; j < end; j += T::kLanes) {
        const Vec share = expOf<In>(at::vec::fmadd(Vec::loadu(scores + j), factor, shift));
        sum = sum + share;
        storeFactors(shares + j, share);
      }
      total = total * kept + sumOf(sum);
    }
    std::fill(shares + end, shares + columns, Factor(0));
    return kept;
  }

  const AttentionProblem& problem_;
  const int64_t width_;  // dim in whole panels
  const int64_t depth_;  // dim in whole pairs
  int64_t depthOfKeys_ = 0;
  int64_t allKeys_ = 0;  // of the meeting at hand
  Factor *keys_, *values_, *queries_, *shares_;
  Sum *scores_, *sums_;
  Sum max_[kQueries], total_[kQueries];
  int64_t used_;
};

}  // namespace
}  // namespace qwen_pt

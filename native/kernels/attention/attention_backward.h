// Attention, backward, a key/value head at a time: scores are computed again from the saved logsumexp, block
// of keys by block of queries (Dao 2023, arXiv:2307.08691, algorithm 2). With S = scale Q K^T, P = exp(S - L) and
// delta = rowsum(dO * O):
//
//   dV = P^T dO     dS = P * (dO V^T - delta) * scale     dK = dS^T Q     dQ = dS K
//
// Everything is computed transposed, keys down and queries across: L and delta then lie along the vectors, P^T and
// dS^T are left operands as they are, and dQ^T = K^T dS^T needs no more than neighbouring rows of dS^T interleaved.
// Compiled once for each capability.
#pragma once

#include "attention_forward.h"

namespace qwen_pt {
namespace {

#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
/// Two rows of 16 as 16 neighbouring pairs.
C10_ALWAYS_INLINE void storePairs(c10::BFloat16* to, __m512 upper, __m512 lower) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(lower, upper);
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both));
}
#endif

template <typename In>
class AttentionBackward {
  using T = Tile<In>;
  using Factor = typename T::Factor;
  using Sum = typename T::Sum;
  using Vec = typename T::Vec;
  static constexpr int64_t kKeys = 192;     // rows of a block: a multiple of every tile's rows and of a pair
  static constexpr int64_t kQueries = 192;  // columns of a block: a multiple of every tile's columns
  static constexpr int64_t kPair = T::kPair;
  static constexpr int64_t kFar = int64_t{1} << 40;  // more tokens than there are

 public:
  AttentionBackward(const AttentionProblem& problem, char* memory)
      : problem_(problem),
        group_(problem.heads / problem.kvHeads),
        width_(roundUp(problem.dim, T::kColumns)),
        depth_(roundUp(problem.dim, kPair)),
        lanes_(roundUp(problem.dim, T::kRows)),
        padded_(roundUp(problem.mostQueries, kQueries)) {
    Scratch scratch(memory);
    keys_ = scratch.take<Factor>(kKeys * depth_);
    values_ = scratch.take<Factor>(kKeys * depth_);
    keysTransposed_ = scratch.take<Factor>(lanes_ * kKeys);
    for (Factor** each : {&queriesAcross_, &outsAcross_}) *each = scratch.take<Factor>(group_ * padded_ * depth_);
    for (Factor** each : {&queriesDown_, &outsDown_}) *each = scratch.take<Factor>(group_ * padded_ * width_);
    for (Sum** each : {&logsumexp_, &delta_}) *each = scratch.take<Sum>(group_ * padded_);
    for (Sum** each : {&scores_, &dShares_}) *each = scratch.take<Sum>(T::kRows * kQueries);
    for (Factor** each : {&shares_, &dScores_}) *each = scratch.take<Factor>(T::kRows * kQueries);
    dScoresRight_ = scratch.take<Factor>(kKeys * kQueries);
    for (Sum** each : {&dKeys_, &dValues_}) *each = scratch.take<Sum>(kKeys * width_);
    dQueries_ = scratch.take<Sum>(problem.parts == 1 ? group_ * padded_ * lanes_ : 0);
    row_ = scratch.take<Sum>(kQueries * width_);
    used_ = scratch.used();
  }

  int64_t used() const { return used_; }

  /// Numbers in one part of `partial`: for each head, for each block of queries, [lanes][kQueries].
  static int64_t partialSize(const AttentionProblem& problem) {
    return problem.heads * blocks(problem) * roundUp(problem.dim, T::kRows) * kQueries;
  }

  void task(int64_t index) {
    const auto& p = problem_;
    const int64_t kvHead = index / p.parts, part = index % p.parts;
    int64_t block = 0;       // counts blocks of keys over all meetings, to deal them out
    int64_t queryBlock = 0;  // counts blocks of queries, to find their place in `partial`
    for (int64_t m = 0; m < p.count; ++m) {
      turnTo(p.meetings[m]);
      bool packed = false;
      for (int64_t first = 0; first < keyCount_; first += kKeys, ++block) {
        if (block % p.parts != part) continue;
        if (!packed) pack(kvHead, part, queryBlock);
        packed = true;
        keyBlock(kvHead, first);
      }
      if (p.parts == 1) {
        for (int64_t g = 0; g < group_; ++g) {
          for (int64_t first = 0; first < length_; first += kQueries) {
            writeQueries(kvHead * group_ + g, first, dQueriesOf(g, first / kQueries));
          }
        }
      }
      queryBlock += roundUp(length_, kQueries) / kQueries;
    }
  }

  /// Adds up the parts of one query head.
  void join(int64_t head) {
    const auto& p = problem_;
    const int64_t size = lanes_ * kQueries, partSize = partialSize(p);
    auto* sums = static_cast<Sum*>(p.partial) + head * blocks(p) * size;
    for (int64_t m = 0; m < p.count; ++m) {
      turnTo(p.meetings[m]);
      for (int64_t first = 0; first < length_; first += kQueries, sums += size) {
        for (int64_t part = 1; part < p.parts; ++part) {
          const Sum* more = sums + part * partSize;
          for (int64_t i = 0; i < size; i += T::kLanes) (Vec::loadu(sums + i) + Vec::loadu(more + i)).store(sums + i);
        }
        writeQueries(head, first, sums);
      }
    }
  }

 private:
  static int64_t blocks(const AttentionProblem& p) {
    int64_t count = 0;
    for (int64_t m = 0; m < p.count; ++m) count += roundUp(p.meetings[m].queries, kQueries) / kQueries;
    return count;
  }

  void turnTo(const Meeting& meeting) {
    start_ = meeting.query;
    length_ = meeting.queries;
    keyStart_ = meeting.key;
    keyCount_ = meeting.keys;
  }

  /// How far the key `key` lies behind the query `query`: queries before it do not see it, where that is above 0.
  int64_t offsetOf(int64_t key, int64_t query) const { return problem_.isCausal ? key - query : -kFar; }

  /// The queries and gradients of the group's heads, as right operands: across (for scores) and down (for keys).
  void pack(int64_t kvHead, int64_t part, int64_t queryBlock) {
    const auto& p = problem_;
    columns_ = roundUp(length_, kQueries);
    for (int64_t g = 0; g < group_; ++g) {
      const int64_t head = kvHead * group_ + g;
      const Rows<In> query = headRows<In>(p.query, start_, head, length_, p.dim);
      const Rows<In> dOut = headRows<In>(p.dOut, start_, head, length_, p.dim);
      const Rows<In> out = headRows<In>(p.out, start_, head, length_, p.dim);
      packRightTransposed(query, depth_, queriesAcross_ + g * padded_ * depth_);
      packRightTransposed(dOut, depth_, outsAcross_ + g * padded_ * depth_);
      packRight(query, columns_, queriesDown_ + g * padded_ * width_);
      packRight(dOut, columns_, outsDown_ + g * padded_ * width_);
      const auto* logsumexp = static_cast<const Sum*>(p.logsumexp) + head * p.tokens + start_;
      for (int64_t i = 0; i < columns_; ++i) {
        // beyond the end every share is exp(-huge), nothing
        logsumexp_[g * padded_ + i] = i < length_ ? logsumexp[i] : std::numeric_limits<Sum>::max();
        delta_[g * padded_ + i] = i < length_ ? dot(dOut.row(i), out.row(i)) : Sum(0);
      }
    }
    partialAt_ = p.parts == 1 ? nullptr : partialOf(part, kvHead * group_, queryBlock);
    for (int64_t g = 0; g < group_; ++g) std::fill_n(dQueriesOf(g, 0), columns_ * lanes_, Sum(0));
  }

  Sum* partialOf(int64_t part, int64_t head, int64_t queryBlock) {
    return static_cast<Sum*>(problem_.partial) + part * partialSize(problem_) +
           (head * blocks(problem_) + queryBlock) * lanes_ * kQueries;
  }

  Sum* dQueriesOf(int64_t g, int64_t block) {
    Sum* base = partialAt_ == nullptr ? dQueries_ + g * padded_ * lanes_
                                      : partialAt_ + g * blocks(problem_) * lanes_ * kQueries;
    return base + block * lanes_ * kQueries;
  }

  Sum dot(const In* a, const In* b) {
    Sum* wideA = row_;
    Sum* wideB = row_ + width_;
    widen(a, wideA, problem_.dim);
    widen(b, wideB, problem_.dim);
    Vec sum(Sum(0));
    forVectors<Vec>(problem_.dim, [&](int64_t i, int64_t n) {
      sum = at::vec::fmadd(loadSome<Vec>(wideA + i, n), loadSome<Vec>(wideB + i, n), sum);
    });
    return sumOf(sum);
  }

  void keyBlock(int64_t kvHead, int64_t first) {
    const auto& p = problem_;
    const int64_t count = std::min(kKeys, keyCount_ - first), rows = roundUp(count, T::kRows);
    const Rows<In> key = headRows<In>(p.key, keyStart_ + first, kvHead, count, p.dim);
    packLeft(key, rows, depth_, keys_);
    packLeft(headRows<In>(p.value, keyStart_ + first, kvHead, count, p.dim), rows, depth_, values_);
    packLeftTransposed(key, lanes_, kKeys, keysTransposed_);
    std::fill(dKeys_, dKeys_ + rows * width_, Sum(0));
    std::fill(dValues_, dValues_ + rows * width_, Sum(0));
    for (int64_t g = 0; g < group_; ++g) {
      for (int64_t query = p.isCausal ? first / kQueries * kQueries : 0; query < length_; query += kQueries) {
        for (int64_t row = 0; row < rows; row += T::kRows)
          keysAgainstQueries(g, row, offsetOf(first + row, query), query);
        addToQueries(g, rows, offsetOf(first, query), query);
      }
    }
    const Rows<In> dKey = headRows<In>(p.dKey, keyStart_ + first, kvHead, count, p.dim);
    const Rows<In> dValue = headRows<In>(p.dValue, keyStart_ + first, kvHead, count, p.dim);
    for (int64_t i = 0; i < count; ++i) {
      writeScaled(dKeys_ + i * width_, Sum(1), const_cast<In*>(dKey.row(i)), p.dim);
      writeScaled(dValues_ + i * width_, Sum(1), const_cast<In*>(dValue.row(i)), p.dim);
    }
  }

  /// Columns of the block of queries that a panel must hold: up to the sequence's end.
  int64_t columnsFrom(int64_t query) const { return std::min(kQueries, roundUp(length_ - query, T::kColumns)); }

  /// A tile's rows of keys, the first of them `offset` places after the block's first query.
  void keysAgainstQueries(int64_t g, int64_t row, int64_t offset, int64_t query) {
    // queries before the key do not see it
    const int64_t from = std::max<int64_t>(offset, 0) / T::kColumns * T::kColumns;
    const int64_t to = columnsFrom(query);
    if (from >= to) return;
    const Factor* queriesAcross = queriesAcross_ + (g * padded_ + query) * depth_;
    const Factor* outsAcross = outsAcross_ + (g * padded_ + query) * depth_;
    for (int64_t j = from; j < to; j += T::kColumns) {
      T::multiply(keys_ + row * depth_, depth_, queriesAcross + j * depth_, depth_ / kPair, scores_ + j, kQueries,
                  false);
      T::multiply(values_ + row * depth_, depth_, outsAcross + j * depth_, depth_ / kPair, dShares_ + j, kQueries,
                  false);
    }
    for (int64_t i = 0; i < T::kRows; i += kPair) gradientsOfScores(g, row, i, offset, query, from, to);
    const int64_t steps = (to - from) / kPair;
    for (int64_t j = 0; j < width_; j += T::kColumns) {
      const int64_t panel = g * padded_ * width_ + j * columns_ + (query + from) * T::kColumns;
      T::multiply(shares_ + from, kQueries, outsDown_ + panel, steps, dValues_ + row * width_ + j, width_, true);
      T::multiply(dScores_ + from, kQueries, queriesDown_ + panel, steps, dKeys_ + row * width_ + j, width_, true);
    }
  }

  /// P and dS of rows i (and i + 1, where pairs are multiplied) of a tile.
  void gradientsOfScores(int64_t g, int64_t row, int64_t i, int64_t offset, int64_t query, int64_t from, int64_t to) {
    const Vec scale(static_cast<Sum>(problem_.scale));
    const Sum* logsumexp = logsumexp_ + g * padded_ + query;
    const Sum* delta = delta_ + g * padded_ + query;
    for (int64_t j = from; j < to; j += T::kLanes) {
      const Vec shift = Vec::loadu(logsumexp + j), less = Vec::loadu(delta + j);
      Vec dScore[kPair];
      for (int64_t k = 0; k < kPair; ++k) {
        const int64_t at = (i + k) * kQueries + j;
        Vec share = expOf<In>(at::vec::fmsub(Vec::loadu(scores_ + at), scale, shift));
        const int64_t hidden = offset + i + k - j;
        if (hidden > 0) share = Vec::set(share, Vec(Sum(0)), std::min(hidden, T::kLanes));
        dScore[k] = share * (Vec::loadu(dShares_ + at) - less) * scale;
        storeFactors(shares_ + at, share);
        storeFactors(dScores_ + at, dScore[k]);
      }
      Factor* right =
          dScoresRight_ + (j / T::kColumns) * kKeys * T::kColumns + (row + i) * T::kColumns + (j % T::kColumns) * kPair;
#if defined(CPU_CAPABILITY_AVX512) && defined(__AVX512BF16__)
      if constexpr (kPair == 2) storePairs(right, dScore[0], dScore[1]);
#endif
      if constexpr (kPair == 1) dScore[0].store(right);
    }
  }

  /// dQ^T of a block of queries += K^T dS^T.
  void addToQueries(int64_t g, int64_t rows, int64_t offset, int64_t query) {
    Sum* sums = dQueriesOf(g, query / kQueries);
    for (int64_t j = std::max<int64_t>(offset, 0) / T::kColumns * T::kColumns; j < columnsFrom(query);
         j += T::kColumns) {
      // keys after the panel's last query were not computed
      const int64_t seen = std::min(rows, j + T::kColumns - offset);
      for (int64_t d = 0; d < lanes_; d += T::kRows) {
        T::multiply(keysTransposed_ + d * kKeys, kKeys, dScoresRight_ + j * kKeys, roundUp(seen, kPair) / kPair,
                    sums + d * kQueries + j, kQueries, true);
      }
    }
  }

  /// [lanes][kQueries] -> rows of the gradient of the queries from `first` on.
  void writeQueries(int64_t head, int64_t first, const Sum* sums) {
    const auto& p = problem_;
    const int64_t count = std::min(kQueries, length_ - first);
    if constexpr (std::is_same_v<Sum, float>) {
      at::vec::transpose_mxn<float>(sums, kQueries, row_, width_, static_cast<int>(p.dim), static_cast<int>(count));
    } else {
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t d = 0; d < p.dim; ++d) row_[i * width_ + d] = sums[d * kQueries + i];
      }
    }
    const Rows<In> to = headRows<In>(p.dQuery, start_ + first, head, count, p.dim);
    for (int64_t i = 0; i < count; ++i) writeScaled(row_ + i * width_, Sum(1), const_cast<In*>(to.row(i)), p.dim);
  }

  const AttentionProblem& problem_;
  const int64_t group_;
  const int64_t width_;                           // dim in whole panels
  const int64_t depth_;                           // dim in whole pairs
  const int64_t lanes_;                           // dim in whole tiles' rows
  const int64_t padded_;                          // the longest sequence in whole blocks of queries
  int64_t start_ = 0, length_ = 0, columns_ = 0;  // of the queries at hand
  int64_t keyStart_ = 0, keyCount_ = 0;
  Factor *keys_, *values_, *keysTransposed_, *queriesAcross_, *outsAcross_, *queriesDown_, *outsDown_;
  Factor *shares_, *dScores_, *dScoresRight_;
  Sum *logsumexp_, *delta_, *scores_, *dShares_, *dKeys_, *dValues_, *dQueries_, *row_;
  Sum* partialAt_ = nullptr;
  int64_t used_;
};

}  // namespace
}  // namespace qwen_pt

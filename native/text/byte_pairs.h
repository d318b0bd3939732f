// Byte-level BPE: a tokenizer's merges, and the symbols of one piece of text merged by them. It gives what Hugging
// Face's tokenizers gives for the same piece: the merge of lowest rank first, of equals the leftmost. Read-only once
// made, so threads share one; what a thread writes is its own Merger's. It knows nothing of Unicode or of pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qwen_pt {

class BytePairs {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr int kIdBits = 21;
  static constexpr int kRankBits = 22;

  // From the text of a tokenizer.json. Null where it is no byte-level BPE: a byte without a token, or a merge of tokens
  // that are not there. Throws JsonError for what is no JSON.
  static std::unique_ptr<BytePairs> fromJson(std::string_view json);

  uint32_t byte(uint8_t value) const { return bytes_[value]; }
  uint32_t merged(uint32_t rank) const { return merged_[rank]; }

  // The rank of a pair's merge, or kNone.
  uint32_t rank(uint32_t left, uint32_t right) const {
    const uint64_t key = static_cast<uint64_t>(left) << kIdBits | right;
    const uint64_t mixed = mix(key);
    if ((sieve_[mixed >> (64 - kSieveBits + 6)] >> (mixed >> (64 - kSieveBits) & 63) & 1) == 0) return kNone;
    for (size_t at = mixed >> shift_;; at = (at + 1) & mask_) {
      const uint64_t entry = table_[at];
      if (entry >> kRankBits == key) return static_cast<uint32_t>(entry) & ((1u << kRankBits) - 1);
      if (entry == kEmpty) return kNone;
    }
  }

  // Whether every merge comes after those that make its two parts, as where they were learned one after another.
  bool isOrdered() const { return ordered_; }

  // The bytes that each merge makes, by rank.
  const std::vector<std::string>& spelled() const { return spelled_; }
  void forgetSpelling() { std::vector<std::string>().swap(spelled_); }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  static constexpr int kSieveBits = 21;
  static uint64_t mix(uint64_t key) { return key * 0x9E3779B97F4A7C15u; }
  void insert(uint32_t left, uint32_t right, uint32_t rank);

  uint32_t bytes_[256] = {};
  std::vector<uint32_t> merged_;
  std::vector<uint64_t> table_;  // left, right, rank, packed; open addressing
  // A bit for each pair, by the head of its mixed key: most pairs of a text have no merge, and this stays in cache.
  std::vector<uint64_t> sieve_ = std::vector<uint64_t>((1u << kSieveBits) / 64);
  size_t mask_ = 0;
  int shift_ = 0;
  bool ordered_ = true;
  std::vector<std::string> spelled_;
};

// Merges symbols; one for one thread. The time for n symbols is n log n: a piece may be a megabyte of one letter.
class Merger {
 public:
  // Merges `count` symbols in place; returns how many are left.
  size_t merge(const BytePairs& pairs, uint32_t* symbols, size_t count);

 private:
  static constexpr size_t kShort = 64;
  size_t mergeShort(const BytePairs& pairs, uint32_t* symbols, size_t count);
  size_t mergeLong(const BytePairs& pairs, uint32_t* symbols, size_t count);

  std::vector<uint32_t> ranks_, next_, before_;
  std::vector<uint64_t> heap_;
};

}  // namespace qwen_pt

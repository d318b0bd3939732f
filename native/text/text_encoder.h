// Text to token ids for the tokenizers of Qwen's form: NFC, Qwen's pattern, byte-level BPE, added tokens. An Encoder is
// what threads share, read-only; a Lane is one thread's. A text that holds what is not known here (a character whose
// class or form may be another to Hugging Face's library, an added token with conditions) is left to the library.
//
// The pattern, whose pieces are encoded one by one:
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N} | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+
//   | \s+(?!\S) | \s+
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "byte_pairs.h"

namespace qwen_pt {

struct AddedToken {
  std::string content;
  uint32_t id;
  bool plain;  // met as it stands, whatever is beside it
};

class Encoder {
 public:
  // Zeros that must follow a text's bytes, so that looking ahead stays inside.
  static constexpr size_t kPadding = 16;

  Encoder(std::unique_ptr<BytePairs> pairs, std::vector<AddedToken> added);

  const BytePairs& pairs() const { return *pairs_; }

  // What is known of a character of the basic plane: its class and, where it is one token by itself, its id.
  uint32_t word(uint32_t code) const { return words_[code]; }
  // The same of one beyond it.
  static uint32_t wordBeyond(uint32_t code);

  // The added token at `text`, the longest of several, or null.
  const AddedToken* addedAt(const char* text, size_t length) const;
  bool mayBeginAdded(uint8_t byte) const { return begins_[byte]; }

 private:
  void describeCharacters();

  std::unique_ptr<BytePairs> pairs_;
  std::vector<AddedToken> added_;  // longest first
  bool begins_[256] = {};
  std::vector<uint32_t> words_;
};

class Lane {
 public:
  explicit Lane(std::shared_ptr<const Encoder> encoder);

  // Appends the ids of a text, UTF-8 with kPadding zeros behind it. False, and nothing appended, where it is left.
  bool encode(const char* text, size_t length);

  const uint32_t* ids() const { return ids_.data(); }
  size_t count() const { return count_; }
  void clear() { count_ = 0; }

 private:
  bool encodeKnown(const char* text, size_t length);
  void cut(const char* text, size_t count, size_t end);
  size_t pieceEnd(const char* text, size_t at, size_t count) const;
  size_t contraction(const char* text, size_t at, size_t count) const;
  size_t white(size_t at, size_t count) const;
  size_t past(size_t at, uint32_t kind) const;
  void piece(const char* text, size_t from, size_t to);
  void charactersOf(const char* text, size_t from, size_t to);
  void bytesOf(const char* text, size_t from, size_t to);
  bool remembered(const char* text, size_t length);
  void remember(size_t first);

  // A short piece that was met lately, and its ids.
  struct Memory {
    uint64_t low = 0, high = 0;
    uint32_t length = 0, count = 0;
    uint32_t ids[4] = {};
  };

  std::shared_ptr<const Encoder> encoder_;
  Merger merger_;
  std::vector<uint32_t> ids_;
  size_t count_ = 0;
  // Of every character between two added tokens: what is known of it, and where it begins; one more at the end.
  std::vector<uint32_t> words_, places_;
  std::vector<Memory> memories_;
  uint64_t low_ = 0, high_ = 0;  // of the piece that was looked for
  uint32_t length_ = 0;
  size_t slot_ = 0;
};

}  // namespace qwen_pt

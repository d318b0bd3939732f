#include "byte_pairs.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <string_view>
#include <utility>

#include "files/json_scanner.h"

namespace qwen_pt {

namespace {

// The byte that each character of the byte-level alphabet stands for, or -1.
struct Alphabet {
  int byteOf[0x144];
  std::string symbol[256];
  Alphabet() {
    std::fill(std::begin(byteOf), std::end(byteOf), -1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const int code = printable ? byte : next++;
      byteOf[code] = byte;
      if (code < 0x80) symbol[byte] = {static_cast<char>(code)};
      else symbol[byte] = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
    }
  }

  // False where the word has a character that is no byte's.
  bool bytesOf(std::string_view word, std::string& out) const {
    for (size_t i = 0; i < word.size(); ++i) {
      uint32_t code = static_cast<unsigned char>(word[i]);
      if (code >= 0x80) {
        if (code >= 0xE0 || i + 1 == word.size()) return false;
        code = (code & 0x1F) << 6 | (static_cast<unsigned char>(word[++i]) & 0x3F);
      }
      if (code >= std::size(byteOf) || byteOf[code] < 0) return false;
      out.push_back(static_cast<char>(byteOf[code]));
    }
    return true;
  }
};

// Words and their ids: few allocations, and one place to look at for most words, of which half a million are looked up.
class Vocabulary {
 public:
  void add(std::string_view word, uint32_t id) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    Slot& slot = find(word, hashOf(word));
    if (slot.id == BytePairs::kNone) {
      slot.hash = hashOf(word);
      slot.at = text_.size();
      slot.length = static_cast<uint32_t>(word.size());
      text_ += word;
      ++count_;
    }
    slot.id = id;
  }
  uint32_t idOf(std::string_view word) const {
    if (slots_.empty()) return BytePairs::kNone;
    return const_cast<Vocabulary*>(this)->find(word, hashOf(word)).id;
  }

 private:
  struct Slot {
    uint64_t at = 0;
    uint32_t hash = 0, length = 0, id = BytePairs::kNone;
  };
  static uint32_t hashOf(std::string_view word) { return static_cast<uint32_t>(std::hash<std::string_view>()(word)); }

  // The word's place, or the empty one where it would be.
  Slot& find(std::string_view word, uint32_t hash) {
    for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[at];
      if (slot.id == BytePairs::kNone) return slot;
      if (slot.hash == hash && std::string_view(text_).substr(slot.at, slot.length) == word) return slot;
    }
  }
  void grow() {
    std::vector<Slot> old(std::max<size_t>(1024, 2 * slots_.size()));
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.id != BytePairs::kNone) find(std::string_view(text_).substr(slot.at, slot.length), slot.hash) = slot;
  }

  std::string text_;
  std::vector<Slot> slots_;
  size_t count_ = 0;
};

struct Model {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;
  bool fits = true;
};

void readMerge(JsonScanner& scanner, Model& model, bool isPair) {
  if (isPair) {
    std::vector<std::string> parts;
    scanner.array([&] { parts.push_back(scanner.string()); });
    if (parts.size() == 2) model.merges.emplace_back(std::move(parts[0]), std::move(parts[1]));
    else model.fits = false;
    return;
  }
  const std::string merge = scanner.string();
  const size_t space = merge.find(' ');
  if (space == std::string::npos) model.fits = false;
  else model.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
}

Model readModel(std::string_view json) {
  Model model;
  JsonScanner scanner(json);
  scanner.object([&](std::string key) {
    if (key != "model") return scanner.skipValue();
    scanner.object([&](std::string part) {
      if (part == "vocab") {
        scanner.object([&](std::string word) {
          const uint64_t id = scanner.unsignedInteger();
          if (id >= (1u << BytePairs::kIdBits) - 1) model.fits = false;
          model.vocabulary.add(word, static_cast<uint32_t>(std::min<uint64_t>(id, 1u << BytePairs::kIdBits)));
        });
      } else if (part == "merges") {
        scanner.array([&] { readMerge(scanner, model, scanner.peek() == '['); });
      } else {
        scanner.skipValue();
      }
    });
  });
  return model;
}

}  // namespace

std::unique_ptr<BytePairs> BytePairs::fromJson(std::string_view json) {
  static const Alphabet alphabet;
  const Model model = readModel(json);
  if (!model.fits || model.merges.size() >= (1u << kRankBits) - 1) return nullptr;
  const auto idOf = [&](std::string_view word) { return model.vocabulary.idOf(word); };
  auto pairs = std::make_unique<BytePairs>();
  for (int byte = 0; byte < 256; ++byte)
    if ((pairs->bytes_[byte] = idOf(alphabet.symbol[byte])) == kNone) return nullptr;
  const size_t places = std::bit_ceil(std::max<size_t>(16, model.merges.size() * 5 / 2));
  pairs->table_.assign(places, kEmpty);
  pairs->mask_ = places - 1;
  pairs->shift_ = 64 - std::countr_zero(places);
  pairs->merged_.reserve(model.merges.size());
  std::vector<bool> made(1u << kIdBits);  // ids that a merge or a byte has made so far
  for (const uint32_t id : pairs->bytes_) made[id] = true;
  for (const auto& [left, right] : model.merges) {
    const std::string whole = left + right;
    const uint32_t a = idOf(left), b = idOf(right), id = idOf(whole);
    std::string bytes;
    if (a == kNone || b == kNone || id == kNone || !alphabet.bytesOf(whole, bytes)) return nullptr;
    const auto rank = static_cast<uint32_t>(pairs->merged_.size());
    if (made[id] || !made[a] || !made[b]) pairs->ordered_ = false;
    made[id] = true;
    pairs->insert(a, b, rank);
    pairs->merged_.push_back(id);
    pairs->spelled_.push_back(std::move(bytes));
  }
  return pairs;
}

void BytePairs::insert(uint32_t left, uint32_t right, uint32_t rank) {
  const uint64_t key = static_cast<uint64_t>(left) << kIdBits | right;
  const uint64_t mixed = mix(key);
  sieve_[mixed >> (64 - kSieveBits + 6)] |= uint64_t{1} << (mixed >> (64 - kSieveBits) & 63);
  size_t at = mixed >> shift_;
  // of two merges of the same pair the library keeps the later one
  while (table_[at] != kEmpty && table_[at] >> kRankBits != key) at = (at + 1) & mask_;
  table_[at] = key << kRankBits | rank;
}

size_t Merger::merge(const BytePairs& pairs, uint32_t* symbols, size_t count) {
  if (count < 2) return count;
  return count <= kShort ? mergeShort(pairs, symbols, count) : mergeLong(pairs, symbols, count);
}

// Looks for the least rank again and again.
size_t Merger::mergeShort(const BytePairs& pairs, uint32_t* symbols, size_t count) {
  uint32_t ranks[kShort];
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = pairs.rank(symbols[i], symbols[i + 1]);
  for (;;) {
    uint32_t least = BytePairs::kNone;
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (ranks[i] < least) {
        least = ranks[i];
        at = i;
      }
    }
    if (least == BytePairs::kNone) return count;
    symbols[at] = pairs.merged(least);
    --count;
    for (size_t i = at + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
    }
    if (at > 0) ranks[at - 1] = pairs.rank(symbols[at - 1], symbols[at]);
    if (at + 1 < count) ranks[at] = pairs.rank(symbols[at], symbols[at + 1]);
  }
}

// Pairs wait in a heap by rank and place; one that has changed meanwhile is skipped when its turn comes.
size_t Merger::mergeLong(const BytePairs& pairs, uint32_t* symbols, size_t count) {
  constexpr uint32_t kGone = UINT32_MAX;
  ranks_.assign(count, BytePairs::kNone);
  next_.resize(count);
  before_.resize(count);
  heap_.clear();
  const auto later = std::greater<uint64_t>();
  const auto entry = [](uint32_t rank, size_t at) { return static_cast<uint64_t>(rank) << 32 | at; };
  for (size_t i = 0; i < count; ++i) {
    next_[i] = static_cast<uint32_t>(i + 1);
    before_[i] = static_cast<uint32_t>(i) - 1;  // of the first: kGone
    if (i + 1 == count) break;
    ranks_[i] = pairs.rank(symbols[i], symbols[i + 1]);
    if (ranks_[i] != BytePairs::kNone) heap_.push_back(entry(ranks_[i], i));
  }
  std::make_heap(heap_.begin(), heap_.end(), later);
  const auto rate = [&](uint32_t at) {
    ranks_[at] = next_[at] == count ? BytePairs::kNone : pairs.rank(symbols[at], symbols[next_[at]]);
    if (ranks_[at] == BytePairs::kNone) return;
    heap_.push_back(entry(ranks_[at], at));
    std::push_heap(heap_.begin(), heap_.end(), later);
  };
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const auto rank = static_cast<uint32_t>(heap_.back() >> 32);
    const auto at = static_cast<uint32_t>(heap_.back());
    heap_.pop_back();
    if (ranks_[at] != rank) continue;
    const uint32_t right = next_[at];
    symbols[at] = pairs.merged(rank);
    ranks_[right] = BytePairs::kNone;
    next_[at] = next_[right];
    if (next_[at] < count) before_[next_[at]] = at;
    rate(at);
    if (before_[at] != kGone) rate(before_[at]);
  }
  size_t left = 0;
  for (size_t i = 0; i < count; i = next_[i]) symbols[left++] = symbols[i];
  return left;
}

}  // namespace qwen_pt

#include "text_encoder.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "unicode_classes.h"

namespace qwen_pt {

namespace {

// A character's word: its class, and its id where its bytes merge to one token (else kNoId). The marks beside it say
// whether a merge may join it, in part, with the character before or behind it: see describeCharacters.
constexpr uint32_t kIdMask = (1u << BytePairs::kIdBits) - 1;
constexpr uint32_t kNoId = kIdMask;
constexpr uint32_t kEnds = 1u << 21;         // behind it may follow a part, the character being wide
constexpr uint32_t kBegins = 1u << 22;       // it may be part of what a wide character begins
constexpr uint32_t kBeginsAscii = 1u << 23;  // it may be part of what an ASCII character begins
constexpr uint32_t kAscii = 1u << 24;
constexpr uint32_t kSorted = 1u << 25;  // CharClass::Mark
constexpr int kClassShift = 28;

constexpr uint32_t kindOf(uint32_t word) { return word >> kClassShift; }
constexpr uint32_t kUnknown = static_cast<uint32_t>(CharClass::Unknown);
constexpr uint32_t kLetter = static_cast<uint32_t>(CharClass::Letter);
constexpr uint32_t kNumber = static_cast<uint32_t>(CharClass::Number);
constexpr uint32_t kSpace = static_cast<uint32_t>(CharClass::Space);
constexpr uint32_t kLineEnd = static_cast<uint32_t>(CharClass::LineEnd);
constexpr uint32_t kOther = static_cast<uint32_t>(CharClass::Other);

uint32_t classWord(uint8_t kind) {
  if (kind == static_cast<uint8_t>(CharClass::Mark)) return kOther << kClassShift | kSorted;
  return static_cast<uint32_t>(kind) << kClassShift;
}

size_t putUtf8(uint32_t code, char* out) {
  const auto at = [&](size_t i, uint32_t byte) { out[i] = static_cast<char>(byte); };
  if (code < 0x80) return at(0, code), 1;
  if (code < 0x800) return at(0, 0xC0 | code >> 6), at(1, 0x80 | (code & 0x3F)), 2;
  return at(0, 0xE0 | code >> 12), at(1, 0x80 | (code >> 6 & 0x3F)), at(2, 0x80 | (code & 0x3F)), 3;
}

bool continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// Bytes of the character that `lead` begins; 0 where it begins none.
size_t widthOf(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// Ends and beginnings of characters that merges join across, where the result holds only part of one of its characters.
struct Crossings {
  std::unordered_set<std::string> ends, begins, beginsAscii;

  void add(const std::string& bytes) {
    size_t last = bytes.size() - 1;
    while (last > 0 && continues(bytes[last])) --last;
    const bool isWhole = !continues(bytes[0]) && bytes.size() - last == widthOf(bytes[last]);
    if (isWhole || last == 0) return;
    // of several boundaries any one must stand in the text: the one of which most is known tells best
    size_t best = 0, most = 0;
    for (size_t at = 1; at < bytes.size(); ++at) {
      if (continues(bytes[at])) continue;
      const size_t known = beforeOf(bytes, at).size() + behindOf(bytes, at).size();
      if (known > most) best = at, most = known;
    }
    const std::string before = beforeOf(bytes, best);
    if (before.size() == 1 && static_cast<uint8_t>(before[0]) < 0x80) {
      beginsAscii.insert(behindOf(bytes, best));
    } else {
      ends.insert(before);
      begins.insert(behindOf(bytes, best));
    }
  }

  static std::string beforeOf(const std::string& bytes, size_t at) {
    size_t from = at - 1;
    while (from > 0 && continues(bytes[from])) --from;
    return bytes.substr(from, at - from);
  }
  static std::string behindOf(const std::string& bytes, size_t at) {
    size_t to = at + 1;
    while (to < bytes.size() && continues(bytes[to])) ++to;
    return bytes.substr(at, to - at);
  }
};

}  // namespace

Encoder::Encoder(std::unique_ptr<BytePairs> pairs, std::vector<AddedToken> added)
    : pairs_(std::move(pairs)), added_(std::move(added)), words_(0x10000, 0) {
  std::stable_sort(added_.begin(), added_.end(),
                   [](const auto& a, const auto& b) { return a.content.size() > b.content.size(); });
  for (const auto& token : added_) begins_[static_cast<uint8_t>(token.content[0])] = true;
  describeCharacters();
  pairs_->forgetSpelling();
}

// A piece may be merged from its characters' own tokens rather than from its bytes where no merge can cross from one
// character into a part of another. For merges are taken in the order of their ranks, each after those that make its
// parts (isOrdered), so those inside a character change nothing for others, nor others for them, unless a merge joins a
// character with part of its neighbour. Where one may, by what stands on both sides, the piece begins from its bytes.
void Encoder::describeCharacters() {
  Crossings crossings;
  for (const auto& bytes : pairs_->spelled()) crossings.add(bytes);
  Merger merger;
  for (const auto& range : kClassRanges) {
    for (uint32_t code = range.first; code <= range.last && code < 0x10000; ++code) {
      char bytes[4];
      const size_t width = putUtf8(code, bytes);
      uint32_t symbols[4];
      for (size_t i = 0; i < width; ++i) symbols[i] = pairs_->byte(static_cast<uint8_t>(bytes[i]));
      const bool isOne = merger.merge(*pairs_, symbols, width) == 1;
      uint32_t word = classWord(range.kind) | (isOne ? symbols[0] : kNoId);
      if (width == 1) word |= kAscii;
      const std::string_view text(bytes, width);
      for (size_t part = 1; part <= width; ++part) {
        if (width > 1 && crossings.ends.contains(std::string(text.substr(width - part)))) word |= kEnds;
        if (crossings.begins.contains(std::string(text.substr(0, part)))) word |= kBegins;
        if (crossings.beginsAscii.contains(std::string(text.substr(0, part)))) word |= kBeginsAscii;
      }
      if (!pairs_->isOrdered()) word |= kEnds | kBegins | kBeginsAscii;
      words_[code] = word;
    }
  }
}

uint32_t Encoder::wordBeyond(uint32_t code) {
  const auto* found = std::upper_bound(std::begin(kClassRanges), std::end(kClassRanges), code,
                                       [](uint32_t value, const ClassRange& range) { return value < range.first; });
  if (found == std::begin(kClassRanges) || code > (--found)->last) return 0;
  return classWord(found->kind) | kNoId | kEnds | kBegins | kBeginsAscii;
}

const AddedToken* Encoder::addedAt(const char* text, size_t length) const {
  const std::string_view rest(text, length);
  for (const auto& token : added_)
    if (rest.starts_with(token.content)) return &token;
  return nullptr;
}

Lane::Lane(std::shared_ptr<const Encoder> encoder) : encoder_(std::move(encoder)), memories_(1 << 13) {}

bool Lane::encode(const char* text, size_t length) {
  const size_t before = count_;
  if (length >= UINT32_MAX / 2) return false;
  if (ids_.size() < count_ + length) ids_.resize(std::max(2 * ids_.size(), count_ + length));
  if (words_.size() < length + 2) {
    words_.resize(length + 2);
    places_.resize(length + 2);
  }
  if (encodeKnown(text, length)) return true;
  count_ = before;
  return false;
}

// Looks every character up; what lies between added tokens is cut into pieces.
bool Lane::encodeKnown(const char* text, size_t length) {
  const Encoder& encoder = *encoder_;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  size_t count = 0;
  uint32_t previous = 0;
  for (size_t at = 0; at < length;) {
    const uint32_t lead = byte(at);
    if (encoder.mayBeginAdded(static_cast<uint8_t>(lead))) {
      if (const AddedToken* token = encoder.addedAt(text + at, length - at)) {
        if (!token->plain) return false;
        cut(text, count, at);
        ids_[count_++] = token->id;
        at += token->content.size();
        count = 0;
        previous = 0;
        continue;
      }
    }
    uint32_t word;
    const size_t place = at;
    if (lead < 0x80) {
      word = encoder.word(lead);
      at += 1;
    } else if (lead < 0xE0) {
      word = encoder.word((lead & 0x1F) << 6 | (byte(at + 1) & 0x3F));
      at += 2;
    } else if (lead < 0xF0) {
      word = encoder.word((lead & 0xF) << 12 | (byte(at + 1) & 0x3F) << 6 | (byte(at + 2) & 0x3F));
      at += 3;
    } else {
      word = Encoder::wordBeyond((lead & 7) << 18 | (byte(at + 1) & 0x3F) << 12 | (byte(at + 2) & 0x3F) << 6 |
                                 (byte(at + 3) & 0x3F));
      at += 4;
    }
    // not known, or a mark behind a mark, which NFC may put first
    if (kindOf(word) == kUnknown || (word & previous & kSorted) != 0) return false;
    words_[count] = previous = word;
    places_[count++] = static_cast<uint32_t>(place);
  }
  cut(text, count, length);
  return true;
}

void Lane::cut(const char* text, size_t count, size_t end) {
  words_[count] = words_[count + 1] = 0;  // of no class: every run ends here
  places_[count] = static_cast<uint32_t>(end);
  for (size_t at = 0; at < count;) {
    const size_t next = pieceEnd(text, at, count);
    piece(text, at, next);
    at = next;
  }
}

size_t Lane::pieceEnd(const char* text, size_t at, size_t count) const {
  const uint32_t kind = kindOf(words_[at]);
  if (kind == kLetter) return past(at, kLetter);
  if (kind == kNumber) return at + 1;
  if (kind == kOther && text[places_[at]] == '\'') {
    if (const size_t width = contraction(text, at, count)) return at + width;
  }
  const uint32_t after = kindOf(words_[at + 1]);
  if (kind != kLineEnd && after == kLetter) return past(at + 1, kLetter);
  if (kind == kOther) return past(past(at, kOther), kLineEnd);
  if (text[places_[at]] == ' ' && after == kOther) return past(past(at + 1, kOther), kLineEnd);
  return white(at, count);
}

// Characters of 's, 't, 're, 've, 'm, 'll or 'd, in either case; 0 where there is none.
size_t Lane::contraction(const char* text, size_t at, size_t count) const {
  const auto letter = [&](size_t i) { return i < count ? text[places_[i]] | 0x20 : 0; };
  const int first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const bool isPair =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return isPair ? 3 : 0;
}

// \s*[\r\n]+, else \s+(?!\S), else \s+
size_t Lane::white(size_t at, size_t count) const {
  size_t end = at, lines = 0;
  for (uint32_t kind; (kind = kindOf(words_[end])) == kSpace || kind == kLineEnd; ++end)
    if (kind == kLineEnd) lines = end + 1;
  if (lines > 0) return lines;
  return end < count && end - at > 1 ? end - 1 : end;
}

size_t Lane::past(size_t at, uint32_t kind) const {
  while (kindOf(words_[at]) == kind) ++at;
  return at;
}

void Lane::piece(const char* text, size_t from, size_t to) {
  const uint32_t* words = words_.data() + from;
  const size_t count = to - from;
  if (count == 1) {
    const uint32_t id = words[0] & kIdMask;
    if (id == kNoId) bytesOf(text, from, to);
    else ids_[count_++] = id;
    return;
  }
  const char* bytes = text + places_[from];
  const size_t length = places_[to] - places_[from];
  // words of an alphabet come again and again, those of three-byte characters hardly
  const bool isKept = length <= 16 && length < 3 * count;
  if (isKept && remembered(bytes, length)) return;
  const size_t first = count_;
  uint32_t crosses = 0;
  for (size_t i = 0; i + 1 < count; ++i) {
    const uint32_t word = words[i], next = words[i + 1];
    crosses |= (word & kEnds) << 1 & next & kBegins;
    crosses |= (word & kAscii) >> 1 & next & kBeginsAscii;
  }
  if (crosses != 0) bytesOf(text, from, to);
  else charactersOf(text, from, to);
  if (isKept) remember(first);
}

// Merges the characters' own tokens.
void Lane::charactersOf(const char* text, size_t from, size_t to) {
  uint32_t* symbols = ids_.data() + count_;
  size_t total = 0;
  for (size_t i = from; i < to; ++i) {
    const uint32_t id = words_[i] & kIdMask;
    if (id != kNoId) {
      symbols[total++] = id;
      continue;
    }
    size_t width = 0;
    for (size_t at = places_[i]; at < places_[i + 1]; ++at)
      symbols[total + width++] = encoder_->pairs().byte(static_cast<uint8_t>(text[at]));
    total += merger_.merge(encoder_->pairs(), symbols + total, width);
  }
  count_ += merger_.merge(encoder_->pairs(), symbols, total);
}

// Merges the characters from their bytes.
void Lane::bytesOf(const char* text, size_t from, size_t to) {
  uint32_t* symbols = ids_.data() + count_;
  const size_t begin = places_[from], length = places_[to] - begin;
  for (size_t i = 0; i < length; ++i) symbols[i] = encoder_->pairs().byte(static_cast<uint8_t>(text[begin + i]));
  count_ += merger_.merge(encoder_->pairs(), symbols, length);
}

// Appends the ids of a piece of at most 16 bytes if it was met lately.
bool Lane::remembered(const char* text, size_t length) {
  uint64_t parts[2];
  std::memcpy(parts, text, 16);
  const auto kept = [](uint64_t part, size_t bytes) {
    return bytes == 0 ? 0 : bytes >= 8 ? part : part & (~uint64_t{0} >> (64 - 8 * bytes));
  };
  low_ = kept(parts[0], length);
  high_ = kept(parts[1], length > 8 ? length - 8 : 0);
  length_ = static_cast<uint32_t>(length);
  const uint64_t mixed = (low_ ^ (high_ * 0x9E3779B97F4A7C15u) ^ length) * 0xD6E8FEB86659FD93u;
  slot_ = mixed >> 51;  // 13 bits
  const Memory& memory = memories_[slot_];
  if (memory.length != length_ || memory.low != low_ || memory.high != high_) return false;
  for (uint32_t i = 0; i < memory.count; ++i) ids_[count_++] = memory.ids[i];
  return true;
}

void Lane::remember(size_t first) {
  const size_t count = count_ - first;
  Memory& memory = memories_[slot_];
  if (count > std::size(memory.ids)) return;
  memory.low = low_;
  memory.high = high_;
  memory.length = length_;
  memory.count = static_cast<uint32_t>(count);
  std::copy_n(ids_.data() + first, count, memory.ids);
}

}  // namespace qwen_pt

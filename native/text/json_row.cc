#include "json_row.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace qwen_pt {

namespace {

constexpr int kDeepest = 64;

bool isDigit(char c) { return c >= '0' && c <= '9'; }

// Where the next quote, backslash or control character is.
const char* plainEnd(const char* at, const char* end) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHighs = 0x8080808080808080u;
  const auto hasZero = [](uint64_t bytes) { return (bytes - kOnes) & ~bytes & kHighs; };
  for (; end - at >= 8; at += 8) {
    uint64_t bytes;
    std::memcpy(&bytes, at, 8);
    const uint64_t controls = (bytes - kOnes * 0x20) & ~bytes & kHighs;
    if ((controls | hasZero(bytes ^ kOnes * '"') | hasZero(bytes ^ kOnes * '\\')) != 0) break;
  }
  while (at < end && *at != '"' && *at != '\\' && static_cast<uint8_t>(*at) >= 0x20) ++at;
  return at;
}

void appendUtf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  }
}

}  // namespace

bool RowReader::read(std::string_view row) {
  at_ = row.data();
  end_ = at_ + row.size();
  std::fill(seen_.begin(), seen_.end(), false);
  if (!members()) return false;
  space();
  if (at_ != end_ || std::find(seen_.begin(), seen_.end(), false) != seen_.end()) return false;
  text_.clear();
  for (const auto& value : values_) {
    if (value.empty()) continue;
    text_ += text_.empty() ? rule_.tag : "\n";
    text_ += value;
  }
  text_ += rule_.separator;
  length_ = text_.size();
  text_.append(padding_, '\0');
  return true;
}

bool RowReader::members() {
  if (!take('{')) return false;
  if (take('}')) return true;
  do {
    std::string_view name;
    if (!key(name) || !take(':')) return false;
    space();
    const auto& columns = rule_.columns;
    const auto column = static_cast<size_t>(std::find(columns.begin(), columns.end(), name) - columns.begin());
    if (column == columns.size() ? !skipValue(0) : !value(column)) return false;
  } while (take(','));
  return take('}');
}

bool RowReader::value(size_t column) {
  if (seen_[column]) return false;
  seen_[column] = true;
  values_[column].clear();
  return now() == '"' ? string(values_[column]) : skipWord("null");
}

// A key with an escape may be a column's name in disguise.
bool RowReader::key(std::string_view& out) {
  if (!take('"')) return false;
  const char* stop = plainEnd(at_, end_);
  if (stop == end_ || *stop != '"') return false;
  out = {at_, static_cast<size_t>(stop - at_)};
  at_ = stop + 1;
  return true;
}

bool RowReader::string(std::string& out) {
  for (++at_;;) {
    const char* stop = plainEnd(at_, end_);
    out.append(at_, stop);
    at_ = stop;
    if (now() == '"') return ++at_, true;
    if (now() != '\\' || !escape(out)) return false;
  }
}

bool RowReader::escape(std::string& out) {
  if (end_ - at_ < 2) return false;
  const char kind = at_[1];
  at_ += 2;
  switch (kind) {
    case '"':
    case '\\':
    case '/': out.push_back(kind); return true;
    case 'b': out.push_back('\b'); return true;
    case 'f': out.push_back('\f'); return true;
    case 'n': out.push_back('\n'); return true;
    case 'r': out.push_back('\r'); return true;
    case 't': out.push_back('\t'); return true;
    case 'u': break;
    default: return false;
  }
  uint32_t code, low;
  if (!hex4(code) || (code >= 0xDC00 && code < 0xE000)) return false;
  if (code >= 0xD800 && code < 0xDC00) {
    if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') return false;
    at_ += 2;
    if (!hex4(low) || low < 0xDC00 || low >= 0xE000) return false;
    code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
  }
  appendUtf8(out, code);
  return true;
}

bool RowReader::hex4(uint32_t& out) {
  if (end_ - at_ < 4) return false;
  out = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = *at_++;
    const char letter = static_cast<char>(c | 0x20);
    if (isDigit(c)) out = out << 4 | static_cast<uint32_t>(c - '0');
    else if (letter >= 'a' && letter <= 'f') out = out << 4 | static_cast<uint32_t>(letter - 'a' + 10);
    else return false;
  }
  return true;
}

bool RowReader::skipString() {
  for (++at_;;) {
    at_ = plainEnd(at_, end_);
    if (now() == '"') return ++at_, true;
    if (now() != '\\' || end_ - at_ < 2) return false;
    const char kind = at_[1];
    at_ += 2;
    uint32_t code;
    if (kind == 'u' ? !hex4(code) : std::strchr("\"\\/bfnrt", kind) == nullptr || kind == '\0') return false;
  }
}

bool RowReader::skipNumber() {
  if (now() == '-') ++at_;
  if (!isDigit(now())) return false;
  if (*at_++ != '0')
    while (isDigit(now())) ++at_;
  if (now() == '.') {
    ++at_;
    if (!isDigit(now())) return false;
    while (isDigit(now())) ++at_;
  }
  if ((now() | 0x20) != 'e') return true;
  ++at_;
  if (now() == '+' || now() == '-') ++at_;
  if (!isDigit(now())) return false;
  while (isDigit(now())) ++at_;
  return true;
}

bool RowReader::skipWord(std::string_view word) {
  if (!std::string_view(at_, static_cast<size_t>(end_ - at_)).starts_with(word)) return false;
  at_ += word.size();
  return true;
}

bool RowReader::skipValue(int depth) {
  space();
  switch (now()) {
    case '"': return skipString();
    case 't': return skipWord("true");
    case 'f': return skipWord("false");
    case 'n': return skipWord("null");
    case '{': return depth < kDeepest && skipMembers(depth + 1);
    case '[': return depth < kDeepest && skipElements(depth + 1);
    default: return skipNumber();
  }
}

bool RowReader::skipMembers(int depth) {
  ++at_;
  if (take('}')) return true;
  do {
    space();
    if (now() != '"' || !skipString() || !take(':') || !skipValue(depth)) return false;
  } while (take(','));
  return take('}');
}

bool RowReader::skipElements(int depth) {
  ++at_;
  if (take(']')) return true;
  do {
    if (!skipValue(depth)) return false;
  } while (take(','));
  return take(']');
}

void RowReader::space() {
  while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
}

bool RowReader::take(char expected) {
  space();
  if (now() != expected || at_ == end_) return false;
  ++at_;
  return true;
}

}  // namespace qwen_pt

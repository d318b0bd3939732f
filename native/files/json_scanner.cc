#include "json_scanner.h"

#include <limits>

namespace qwen_pt {

namespace {

constexpr int kDeepest = 127;  // recursion costs stack, and a header may be 100 MB of brackets

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

bool isUtf8(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  for (size_t i = 0; i < bytes.size();) {
    const uint32_t lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                          : lead >= 0xE0 && lead < 0xF0 ? 3
                          : lead >= 0xF0 && lead < 0xF5 ? 4
                                                        : 0;
    if (length == 0 || bytes.size() - i < length) return false;
    uint32_t code = lead & (0x7Fu >> length);
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
      code = code << 6 | (byte(i + k) & 0x3Fu);
    }
    if (length == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) return false;
    if (length == 4 && (code < 0x10000 || code > 0x10FFFF)) return false;
    i += length;
  }
  return true;
}

std::string jsonString(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  return out += '"';
}

void JsonScanner::fail(const std::string& what) const {
  throw JsonError(what + " at byte " + std::to_string(at_) + " of the header");
}

void JsonScanner::skipSpace() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
    ++at_;
  }
}

char JsonScanner::peek() {
  skipSpace();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonScanner::consume(char expected) {
  skipSpace();
  if (at_ >= text_.size() || text_[at_] != expected) return false;
  ++at_;
  return true;
}

void JsonScanner::expect(char expected) {
  if (!consume(expected)) fail(std::string("expected '") + expected + "'");
}

void JsonScanner::end() {
  skipSpace();
  if (at_ != text_.size()) fail("text after the closing brace,");
}

uint32_t JsonScanner::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c >= '0' && c <= '9') value = value << 4 | static_cast<uint32_t>(c - '0');
    else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
      value = value << 4 | static_cast<uint32_t>((c | 0x20) - 'a' + 10);
    else fail("\\u needs four hexadecimal digits,");
  }
  return value;
}

// What follows a backslash.
void JsonScanner::escape(std::string& out) {
  if (at_ >= text_.size()) fail("a string does not end,");
  switch (const char c = text_[at_++]) {
    case '"':
    case '\\':
    case '/': out.push_back(c); return;
    case 'b': out.push_back('\b'); return;
    case 'f': out.push_back('\f'); return;
    case 'n': out.push_back('\n'); return;
    case 'r': out.push_back('\r'); return;
    case 't': out.push_back('\t'); return;
    case 'u': break;
    default: fail("an unknown escape in a string,");
  }
  uint32_t code = hex4();
  if (code >= 0xDC00 && code < 0xE000) fail("half a surrogate pair,");
  if (code >= 0xD800 && code < 0xDC00) {
    if (text_.substr(at_, 2) != "\\u") fail("half a surrogate pair,");
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low >= 0xE000) fail("half a surrogate pair,");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  appendUtf8(out, code);
}

std::string JsonScanner::string() {
  if (!consume('"')) fail("expected a string");
  std::string out;
  for (;;) {
    if (at_ >= text_.size()) fail("a string does not end,");
    const char c = text_[at_++];
    if (c == '"') return out;
    if (c == '\\') escape(out);
    else if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string,");
    else out.push_back(c);
  }
}

uint64_t JsonScanner::unsignedInteger() {
  skipSpace();
  if (!digit()) fail("expected an integer that is not negative,");
  const size_t start = at_;
  uint64_t value = 0;
  for (; digit(); ++at_) {
    const auto next = static_cast<uint64_t>(text_[at_] - '0');
    if (value > (std::numeric_limits<uint64_t>::max() - next) / 10) fail("an integer above 2^64 - 1,");
    value = value * 10 + next;
  }
  if (text_[start] == '0' && at_ - start > 1) fail("an integer with a leading zero,");
  const char after = at_ < text_.size() ? text_[at_] : '\0';
  if (after == '.' || after == 'e' || after == 'E') fail("expected an integer, found a fraction or exponent,");
  return value;
}

void JsonScanner::skipNumber() {
  if (text_[at_] == '-') ++at_;
  if (!digit()) fail("expected a value");
  if (text_[at_] == '0') ++at_;
  else
    while (digit()) ++at_;
  if (digit()) fail("a number with a leading zero,");
  if (at_ < text_.size() && text_[at_] == '.') {
    ++at_;
    if (!digit()) fail("a fraction without digits,");
    while (digit()) ++at_;
  }
  if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    if (!digit()) fail("an exponent without digits,");
    while (digit()) ++at_;
  }
}

void JsonScanner::skipWord(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) fail("expected a value");
  at_ += word.size();
}

void JsonScanner::skipValue(int depth) {
  if (depth > kDeepest) fail("values nested too deep,");
  skipSpace();
  switch (at_ < text_.size() ? text_[at_] : '\0') {
    case '{': return object([&](std::string) { skipValue(depth + 1); });
    case '[': return array([&] { skipValue(depth + 1); });
    case '"': string(); return;
    case 't': return skipWord("true");
    case 'f': return skipWord("false");
    case 'n': return skipWord("null");
    case '\0': fail("expected a value");
    default: skipNumber();
  }
}

}  // namespace qwen_pt

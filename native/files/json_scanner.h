// A strict scanner of JSON (RFC 8259) for headers that nobody vouches for. It keeps integers exact to 64 bits and sees
// every key, which JSON.parse does not. It builds no tree: its caller walks the text and says what must come next.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace qwen_pt {

struct JsonError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Whether the bytes are well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool isUtf8(std::string_view bytes);

// `text` as a JSON string, quotes included.
std::string jsonString(std::string_view text);

class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : text_(text) {}  // well-formed UTF-8

  bool consume(char expected);  // skips white space; true if `expected` came next and was taken
  void expect(char expected);
  char peek();  // skips white space; what comes next, '\0' at the end
  std::string string();
  uint64_t unsignedInteger();  // digits only: no sign, fraction, exponent or leading zero
  void skipValue(int depth = 0);
  void end();  // nothing but white space may be left

  // Walks an object and an array; `member` and `element` must take exactly one value.
  template <class Member>
  void object(Member&& member) {
    expect('{');
    if (consume('}')) return;
    do {
      std::string key = string();
      expect(':');
      member(std::move(key));
    } while (consume(','));
    expect('}');
  }
  template <class Element>
  void array(Element&& element) {
    expect('[');
    if (consume(']')) return;
    do element();
    while (consume(','));
    expect(']');
  }

  [[noreturn]] void fail(const std::string& what) const;

 private:
  void skipSpace();
  void skipNumber();
  void skipWord(std::string_view word);
  void escape(std::string& out);
  uint32_t hex4();
  bool digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace qwen_pt

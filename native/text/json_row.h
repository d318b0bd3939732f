// The text of one row of JSON lines: an object whose wanted columns are strings. What is anything else (malformed, a
// column that is missing, twice there or of another kind, half a surrogate pair) is not read here: the caller leaves the
// row to JSON.parse, which knows what to say of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qwen_pt {

struct RowRule {
  std::vector<std::string> columns;  // joined by a newline, empty ones left out
  std::string tag;                   // before every text that is not empty
  std::string separator;             // behind every text
};

class RowReader {
 public:
  RowReader(const RowRule& rule, size_t padding)
      : rule_(rule), padding_(padding), values_(rule.columns.size()), seen_(rule.columns.size()) {}

  // Reads a row, well-formed UTF-8 without a line's end, into text(), behind which come `padding` zeros.
  // False where it is left.
  bool read(std::string_view row);

  const char* text() const { return text_.data(); }
  size_t length() const { return length_; }

 private:
  bool members();
  bool value(size_t column);
  bool string(std::string& out);
  bool key(std::string_view& out);
  bool escape(std::string& out);
  bool hex4(uint32_t& out);
  bool skipString();
  bool skipNumber();
  bool skipWord(std::string_view word);
  bool skipValue(int depth);
  bool skipMembers(int depth);
  bool skipElements(int depth);
  void space();
  bool take(char expected);
  char now() const { return at_ < end_ ? *at_ : '\0'; }

  const RowRule& rule_;
  size_t padding_;
  std::vector<std::string> values_;
  std::vector<bool> seen_;
  std::string text_;
  size_t length_ = 0;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

}  // namespace qwen_pt

// The safetensors format: what a header says, and every rule by which a file is refused. Reads headers strictly (two
// readers must never see two different files in the same bytes) and writes them as the reference writer does, byte
// for byte. It knows no tensors and no JavaScript.
//
// A file is: n, u64 little-endian; a JSON object of n bytes; the tensors' bytes, little-endian, in C order.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "file_mapping.h"

namespace qwen_pt {

// A rule of the format was broken. Without the path, until SafetensorsFile adds it.
struct SafetensorsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// In the order in which the reference writer sorts, lowest last in the file.
// clang-format off: a list, not a column
enum class SafetensorsDtype : uint8_t {
  BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ,
  I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64,
};
// clang-format on
const char* nameOf(SafetensorsDtype dtype);
uint32_t bitsOf(SafetensorsDtype dtype);

using SafetensorsMetadata = std::vector<std::pair<std::string, std::string>>;

struct SafetensorsEntry {
  std::string name;
  SafetensorsDtype dtype = SafetensorsDtype::U8;
  std::vector<uint64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, from the header's end
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  // in the order of their bytes
  SafetensorsMetadata metadata;
};

constexpr uint64_t kSafetensorsLargestHeader = 100'000'000;

// Bytes of a tensor; throws where the count does not fit in 64 bits or ends inside a byte.
uint64_t safetensorsBytes(const std::string& name, SafetensorsDtype dtype, const std::vector<uint64_t>& shape);

// `dataBytes`: how many bytes of the file follow the header.
SafetensorsHeader parseSafetensorsHeader(std::string_view json, uint64_t dataBytes);

// Sorts the tensors as the format's writer does, gives them their offsets, and returns the file's first bytes (n, the
// JSON object, padding to a multiple of 8).
std::string layOutSafetensors(std::vector<SafetensorsEntry>& tensors, const SafetensorsMetadata& metadata);

// `text` in quotes, shortened and on one line, for messages.
std::string quoted(std::string_view text);

// An opened file. Tensors made from it share `mapping`, which outlives the SafetensorsFile as long as they do.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);  // throws SafetensorsError and FileError, with the path

  const SafetensorsEntry& find(const std::string& name) const;  // throws SafetensorsError
  char* data(const SafetensorsEntry& entry) const { return mapping->data() + dataStart + entry.begin; }

  std::string path;
  SafetensorsHeader header;
  std::shared_ptr<FileMapping> mapping;
  uint64_t dataStart = 0;

 private:
  std::vector<uint32_t> byName_;
};

}  // namespace qwen_pt

#include "safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>

#include "json_scanner.h"

namespace qwen_pt {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian, and mapped as they are");

namespace {

struct DtypeName {
  const char* name;
  uint32_t bits;
};
// Indexed by SafetensorsDtype.
constexpr DtypeName kDtypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};

bool multiply(uint64_t a, uint64_t b, uint64_t& product) {
  if (b != 0 && a > UINT64_MAX / b) return false;
  product = a * b;
  return true;
}

[[noreturn]] void refuse(const std::string& text) { throw SafetensorsError(text); }

SafetensorsDtype dtypeFrom(const std::string& name, const std::string& tensor) {
  for (size_t i = 0; i < std::size(kDtypes); ++i) {
    if (name == kDtypes[i].name) return static_cast<SafetensorsDtype>(i);
  }
  refuse("tensor " + quoted(tensor) + " has the unknown dtype " + quoted(name));
}

// {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}. Other members are skipped, as by the reference reader.
SafetensorsEntry parseEntry(JsonScanner& json, std::string name) {
  SafetensorsEntry entry;
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape, offsets;
  std::vector<std::string> others;
  const auto once = [&](bool already, const std::string& key) {
    if (already) refuse("tensor " + quoted(name) + " has the key " + quoted(key) + " twice");
  };
  const auto integers = [&] {
    std::vector<uint64_t> values;
    json.array([&] { values.push_back(json.unsignedInteger()); });
    return values;
  };
  json.object([&](std::string key) {
    if (key == "dtype") {
      once(dtype.has_value(), key);
      dtype = json.string();
    } else if (key == "shape") {
      once(shape.has_value(), key);
      shape = integers();
    } else if (key == "data_offsets") {
      once(offsets.has_value(), key);
      offsets = integers();
    } else {
      json.skipValue();
      others.push_back(std::move(key));
    }
  });
  std::sort(others.begin(), others.end());
  const auto twice = std::adjacent_find(others.begin(), others.end());
  if (twice != others.end()) once(true, *twice);
  for (const auto& [missing, key] : {std::pair{!dtype, "dtype"}, {!shape, "shape"}, {!offsets, "data_offsets"}}) {
    if (missing) refuse("tensor " + quoted(name) + " has no " + key);
  }
  if (offsets->size() != 2) refuse("tensor " + quoted(name) + " must have two data_offsets, a begin and an end");
  entry.dtype = dtypeFrom(*dtype, name);
  entry.shape = std::move(*shape);
  entry.begin = (*offsets)[0];
  entry.end = (*offsets)[1];
  entry.name = std::move(name);
  return entry;
}

SafetensorsHeader parseObject(std::string_view text) {
  SafetensorsHeader header;
  bool metadataSeen = false;
  JsonScanner json(text);
  json.object([&](std::string key) {
    if (key != "__metadata__") {
      header.tensors.push_back(parseEntry(json, std::move(key)));
      return;
    }
    if (metadataSeen) refuse("the key \"__metadata__\" appears twice");
    metadataSeen = true;
    json.object([&](std::string name) {
      std::string value = json.string();
      header.metadata.emplace_back(std::move(name), std::move(value));
    });
  });
  json.end();
  return header;
}

template <class Items, class Name>
void refuseDuplicates(const Items& items, Name&& nameAt, const char* what) {
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return nameAt(items[a]) < nameAt(items[b]); });
  for (size_t i = 1; i < order.size(); ++i) {
    const std::string& name = nameAt(items[order[i]]);
    if (name == nameAt(items[order[i - 1]])) refuse(std::string(what) + " " + quoted(name) + " appears twice");
  }
}

// No holes, no overlaps, no shared bytes, nothing before, between or after the tensors.
void checkLayout(const SafetensorsHeader& header, uint64_t dataBytes) {
  uint64_t at = 0;
  for (const auto& entry : header.tensors) {
    const std::string tensor = "tensor " + quoted(entry.name);
    const std::string where = "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]";
    if (entry.end < entry.begin) refuse(tensor + " has data_offsets " + where + " that end before they begin");
    if (entry.begin != at) {
      refuse(tensor + " has data_offsets " + where + ", but the bytes before it end at " + std::to_string(at) +
             ": tensors must follow one another without holes or overlaps");
    }
    const uint64_t bytes = safetensorsBytes(entry.name, entry.dtype, entry.shape);
    if (entry.end - entry.begin != bytes) {
      refuse(tensor + " has " + std::to_string(entry.end - entry.begin) + " bytes by its data_offsets, but " +
             std::to_string(bytes) + " by its dtype and shape");
    }
    at = entry.end;
  }
  if (at > dataBytes) {
    refuse("truncated: its tensors need " + std::to_string(at) + " bytes after the header, it has " +
           std::to_string(dataBytes) + "; copy or download it again");
  }
  if (at < dataBytes) {
    refuse(std::to_string(dataBytes - at) + " bytes that belong to no tensor follow its last tensor");
  }
}

}  // namespace

const char* nameOf(SafetensorsDtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }
uint32_t bitsOf(SafetensorsDtype dtype) { return kDtypes[static_cast<size_t>(dtype)].bits; }

std::string quoted(std::string_view text) {
  constexpr size_t kLongest = 120;
  if (text.size() <= kLongest) return jsonString(text);
  size_t length = kLongest;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;  // not inside a character
  return jsonString(std::string(text.substr(0, length)) + "...");
}

uint64_t safetensorsBytes(const std::string& name, SafetensorsDtype dtype, const std::vector<uint64_t>& shape) {
  uint64_t bits = 1;
  bool fits = true;
  for (const uint64_t size : shape) fits = fits && multiply(bits, size, bits);
  fits = fits && multiply(bits, bitsOf(dtype), bits);
  if (!fits) refuse("tensor " + quoted(name) + " has a shape whose size does not fit in 64 bits");
  if (bits % 8 != 0) refuse("tensor " + quoted(name) + " of dtype " + nameOf(dtype) + " ends inside a byte");
  return bits / 8;
}

SafetensorsHeader parseSafetensorsHeader(std::string_view json, uint64_t dataBytes) {
  if (!isUtf8(json)) refuse("the header is not UTF-8");
  SafetensorsHeader header;
  try {
    header = parseObject(json);
  } catch (const JsonError& error) {
    refuse(std::string("the header is not the JSON that the format asks for: ") + error.what());
  }
  refuseDuplicates(header.tensors, [](const auto& entry) -> const std::string& { return entry.name; }, "the tensor");
  refuseDuplicates(
      header.metadata, [](const auto& pair) -> const std::string& { return pair.first; }, "the metadata key");
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  checkLayout(header, dataBytes);
  return header;
}

std::string layOutSafetensors(std::vector<SafetensorsEntry>& tensors, const SafetensorsMetadata& metadata) {
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name; });
  refuseDuplicates(tensors, [](const auto& entry) -> const std::string& { return entry.name; }, "the tensor");
  refuseDuplicates(metadata, [](const auto& pair) -> const std::string& { return pair.first; }, "the metadata key");
  std::string json = "{";
  const auto comma = [&] {
    if (json.back() != '{') json += ',';
  };
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) comma(), json += jsonString(key) + ':' + jsonString(value);
    json += '}';
  }
  uint64_t at = 0;
  for (auto& entry : tensors) {
    if (entry.name == "__metadata__") refuse("a tensor cannot be named \"__metadata__\": the format keeps that name");
    entry.begin = at;
    entry.end = at += safetensorsBytes(entry.name, entry.dtype, entry.shape);
    comma();
    json += jsonString(entry.name) + ":{\"dtype\":\"" + nameOf(entry.dtype) + "\",\"shape\":[";
    for (size_t i = 0; i < entry.shape.size(); ++i) json += (i ? "," : "") + std::to_string(entry.shape[i]);
    json += "],\"data_offsets\":[" + std::to_string(entry.begin) + ',' + std::to_string(entry.end) + "]}";
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t n = json.size();
  if (n > kSafetensorsLargestHeader)
    refuse("the header would exceed 100,000,000 bytes: fewer tensors or shorter names");
  char prefix[8];
  std::memcpy(prefix, &n, 8);
  return std::string(prefix, 8) + json;
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  SafetensorsFile file;
  file.path = path;
  file.mapping = FileMapping::open(path);
  const uint64_t size = file.mapping->size();
  try {
    if (size < 8) refuse("it has " + std::to_string(size) + " bytes, too few for the header's length");
    uint64_t n = 0;
    std::memcpy(&n, file.mapping->data(), 8);
    if (std::memcmp(file.mapping->data(), "version ", 8) == 0) {
      refuse("it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`");
    }
    if (n > kSafetensorsLargestHeader)
      refuse("its header's length, " + std::to_string(n) + ", exceeds 100,000,000 bytes");
    if (n > size - 8) {
      refuse("its header's length, " + std::to_string(n) + ", exceeds the file's " + std::to_string(size) +
             " bytes: it is truncated; copy or download it again");
    }
    // A copy: another process may write to the file while it is parsed.
    const std::string json(file.mapping->data() + 8, n);
    file.dataStart = 8 + n;
    file.header = parseSafetensorsHeader(json, size - file.dataStart);
  } catch (const SafetensorsError& error) {
    throw SafetensorsError(path + ": not a valid safetensors file: " + error.what());
  }
  const auto& tensors = file.header.tensors;
  file.byName_.resize(tensors.size());
  std::iota(file.byName_.begin(), file.byName_.end(), 0u);
  std::sort(file.byName_.begin(), file.byName_.end(),
            [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; });
  return file;
}

const SafetensorsEntry& SafetensorsFile::find(const std::string& name) const {
  const auto& tensors = header.tensors;
  const auto at =
      std::lower_bound(byName_.begin(), byName_.end(), name,
                       [&](uint32_t index, const std::string& wanted) { return tensors[index].name < wanted; });
  if (at == byName_.end() || tensors[*at].name != name)
    throw SafetensorsError(path + ": has no tensor " + quoted(name));
  return tensors[*at];
}

}  // namespace qwen_pt

// Reads sources and keeps compiled code.

#include "cubin_cache.h"

#include "files/atomic_file.h"

#include <c10/util/Exception.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace qwen_pt {

namespace {

namespace fs = std::filesystem;

fs::path pathOf(const std::string& utf8) { return fs::path(std::u8string(utf8.begin(), utf8.end())); }

std::string contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Fowler, Noll and Vo's hash of 64 bits: names a text, and guards against nothing.
uint64_t hashed(uint64_t hash, const std::string& text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

SourceText textOf(const std::string& folder, const std::string& name) {
  SourceText found{name, contents(pathOf(folder) / name)};
  TORCH_CHECK(!found.text.empty(), "the source of a kernel cannot be read: ", name, " in ", folder,
              "; install the package again, or set QWEN_PT_FUSED=0");
  return found;
}

}  // namespace

KernelSource::KernelSource(const std::string& folder, const std::string& name)
    : name_(name), source_(textOf(folder, name + ".cu")), headers_{textOf(folder, "numbers.cuh")} {}

std::string KernelSource::key(const std::string& compiler, const std::string& architecture) const {
  uint64_t hash = hashed(0xcbf29ce484222325u, source_.text);
  for (const SourceText& header : headers_) hash = hashed(hash, header.text);
  std::string digits(16, '0');
  for (int i = 15; i >= 0; --i, hash >>= 4) digits[i] = "0123456789abcdef"[hash & 15];
  return name_ + "-" + architecture + "-" + compiler + "-" + digits + ".cubin";
}

CubinCache::CubinCache(const std::string& folder, const std::string& file)
    : folder_(folder), path_(folder + "/" + file) {}

std::string CubinCache::read() const { return contents(pathOf(path_)); }

void CubinCache::write(const std::string& code) const {
  try {
    fs::create_directories(pathOf(folder_));
    AtomicFile file(path_, code.size());
    file.write(code.data(), code.size());
    file.commit();
  } catch (const std::exception&) {
    // it is compiled again the next time
  }
}

}  // namespace qwen_pt

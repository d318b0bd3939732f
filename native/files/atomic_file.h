// A file that appears under its name whole or not at all: written beside it under another name, flushed to the disk,
// then renamed. Whatever fails, an earlier file of that name is left as it was and nothing half-written stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace qwen_pt {

// Everything throws FileError, with the path that was asked for.
class AtomicFile {
 public:
  AtomicFile(const std::string& path, uint64_t size);  // UTF-8; asks the file system for `size` bytes at once
  ~AtomicFile();                                       // without commit(): removes what was written
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, uint64_t bytes);
  void commit();

 private:
  void reserve(uint64_t size);
  void remove() noexcept;

  std::string path_, temporary_;
#ifdef _WIN32
  void* file_ = nullptr;
#else
  int file_ = -1;
#endif
};

}  // namespace qwen_pt

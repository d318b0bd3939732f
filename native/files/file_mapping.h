// A file's bytes as memory. Of a file that was opened they are private: pages come from it when they are touched, and a
// page that is written becomes the process's own, so the file never changes. A scratch file takes what is written, and is
// gone with the mapping. It knows nothing of what the bytes mean.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace qwen_pt {

// Throws FileError.
class FileMapping {
 public:
  static std::shared_ptr<FileMapping> open(const std::string& path);  // UTF-8
  /// `size` zeros in a nameless file of a folder, which has to be there: memory that the system may put on the disk.
  static std::shared_ptr<FileMapping> scratch(const std::string& folder, size_t size);
  ~FileMapping();
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;

  char* data() const { return data_; }  // null where size is 0
  size_t size() const { return size_; }

 private:
  FileMapping() = default;
  char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace qwen_pt

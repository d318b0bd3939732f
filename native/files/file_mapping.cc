#include "file_mapping.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <system_error>

#include "file_error.h"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace qwen_pt {

#ifdef _WIN32

std::shared_ptr<FileMapping> FileMapping::open(const std::string& path) {
  const HANDLE file =
      CreateFileW(wide(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                  OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) throwFileError(path, "cannot open");
  const std::unique_ptr<void, decltype(&CloseHandle)> closeFile(file, CloseHandle);
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file, &size)) throwFileError(path, "cannot read its size");
  std::shared_ptr<FileMapping> mapping(new FileMapping);
  mapping->size_ = static_cast<size_t>(size.QuadPart);
  if (mapping->size_ == 0) return mapping;
  const HANDLE section = CreateFileMappingW(file, nullptr, PAGE_WRITECOPY, 0, 0, nullptr);
  if (!section) throwFileError(path, "cannot map it into memory");
  const std::unique_ptr<void, decltype(&CloseHandle)> closeSection(section, CloseHandle);
  void* data = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, 0);
  if (!data) throwFileError(path, "cannot map it into memory");
  mapping->data_ = static_cast<char*>(data);
  return mapping;
}

std::shared_ptr<FileMapping> FileMapping::scratch(const std::string& folder, size_t size) {
  static std::atomic<int> count{0};
  const std::string path = folder + "\\.pages-" + std::to_string(GetCurrentProcessId()) + "-" + std::to_string(count++);
  const HANDLE file = CreateFileW(wide(path).c_str(), GENERIC_READ | GENERIC_WRITE, FILE_SHARE_DELETE, nullptr,
                                  CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, nullptr);
  if (file == INVALID_HANDLE_VALUE) throwFileError(path, "cannot make it");
  // the section keeps the file until the last view is gone
  const std::unique_ptr<void, decltype(&CloseHandle)> closeFile(file, CloseHandle);
  std::shared_ptr<FileMapping> mapping(new FileMapping);
  mapping->size_ = size;
  if (size == 0) return mapping;
  const auto wideSize = static_cast<uint64_t>(size);
  const HANDLE section = CreateFileMappingW(file, nullptr, PAGE_READWRITE, static_cast<DWORD>(wideSize >> 32),
                                            static_cast<DWORD>(wideSize), nullptr);
  if (!section) throwFileError(path, "cannot map it into memory");
  const std::unique_ptr<void, decltype(&CloseHandle)> closeSection(section, CloseHandle);
  void* data = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
  if (!data) throwFileError(path, "cannot map it into memory");
  mapping->data_ = static_cast<char*>(data);
  return mapping;
}

FileMapping::~FileMapping() {
  if (data_) UnmapViewOfFile(data_);
}

#else

namespace {
struct Closer {
  int file;
  ~Closer() { ::close(file); }
};
}  // namespace

std::shared_ptr<FileMapping> FileMapping::open(const std::string& path) {
  // O_NONBLOCK: a named pipe without a writer must not hang the opening.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) throwFileError(path, "cannot open");
  const Closer closer{file};
  struct stat status;
  if (::fstat(file, &status) != 0) throwFileError(path, "cannot read its size");
  if (!S_ISREG(status.st_mode)) throwFileError(path, "cannot open", S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  if (static_cast<uintmax_t>(status.st_size) > std::numeric_limits<size_t>::max()) {
    throwFileError(path, "cannot map it into memory", EFBIG);
  }
  std::shared_ptr<FileMapping> mapping(new FileMapping);
  mapping->size_ = static_cast<size_t>(status.st_size);
  if (mapping->size_ == 0) return mapping;
  int flags = MAP_PRIVATE;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;  // or a model larger than the memory is refused, though hardly a page will be written
#endif
  void* data = ::mmap(nullptr, mapping->size_, PROT_READ | PROT_WRITE, flags, file, 0);
  if (data == MAP_FAILED) throwFileError(path, "cannot map it into memory");
  mapping->data_ = static_cast<char*>(data);
  return mapping;
}

std::shared_ptr<FileMapping> FileMapping::scratch(const std::string& folder, size_t size) {
  std::string path = folder + "/.pages-XXXXXX";
  const int file = ::mkstemp(path.data());
  if (file < 0) throwFileError(path, "cannot make it");
  const Closer closer{file};
  ::unlink(path.c_str());  // nothing is left, however the process ends
  ::fcntl(file, F_SETFD, FD_CLOEXEC);
  std::shared_ptr<FileMapping> mapping(new FileMapping);
  mapping->size_ = size;
  if (size == 0) return mapping;
  if (::ftruncate(file, static_cast<off_t>(size)) != 0) throwFileError(path, "cannot write");
#if defined(__linux__)
  // a full disk is an error here, and would be the process's end at the first write to a page
  if (const int code = ::posix_fallocate(file, 0, static_cast<off_t>(size)); code != 0) {
    throwFileError(path, "cannot write", code);
  }
#endif
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (data == MAP_FAILED) throwFileError(path, "cannot map it into memory");
  mapping->data_ = static_cast<char*>(data);
  return mapping;
}

FileMapping::~FileMapping() {
  if (data_) ::munmap(data_, size_);
}

#endif

}  // namespace qwen_pt

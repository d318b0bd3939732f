#include "atomic_file.h"

#include <algorithm>
#include <atomic>

#include "file_error.h"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#endif

namespace qwen_pt {

namespace {

constexpr uint64_t kPiece = uint64_t{1} << 26;  // no system takes more than 2 GB in one call

std::string besideOf(const std::string& path, long process) {
  static std::atomic<uint32_t> count{0};
  return path + ".tmp-" + std::to_string(process) + "-" + std::to_string(count++);
}

}  // namespace

void AtomicFile::write(const void* data, uint64_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const uint64_t piece = std::min(bytes, kPiece);
#ifdef _WIN32
    DWORD written = 0;
    if (!WriteFile(file_, at, static_cast<DWORD>(piece), &written, nullptr)) throwFileError(path_, "cannot write");
#else
    const ssize_t written = ::write(file_, at, piece);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throwFileError(path_, "cannot write");
#endif
    at += written;
    bytes -= static_cast<uint64_t>(written);
  }
}

#ifdef _WIN32

AtomicFile::AtomicFile(const std::string& path, uint64_t size) : path_(path) {
  HANDLE file;
  do {  // a process of this number may have been killed here, and have left its file
    temporary_ = besideOf(path, static_cast<long>(GetCurrentProcessId()));
    file = CreateFileW(wide(temporary_).c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
  } while (file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_FILE_EXISTS);
  if (file == INVALID_HANDLE_VALUE) throwFileError(path_, "cannot write");
  file_ = file;
  reserve(size);
}

void AtomicFile::reserve(uint64_t) {}

void AtomicFile::remove() noexcept {
  if (file_) CloseHandle(file_);
  file_ = nullptr;
  DeleteFileW(wide(temporary_).c_str());
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) remove();
}

void AtomicFile::commit() {
  if (!FlushFileBuffers(file_)) throwFileError(path_, "cannot flush to the disk");
  CloseHandle(file_);
  file_ = nullptr;
  if (!MoveFileExW(wide(temporary_).c_str(), wide(path_).c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
    throwFileError(path_, "cannot replace (on Windows a file cannot be replaced while a tensor is mapped from it)");
  }
  temporary_.clear();
}

#else

AtomicFile::AtomicFile(const std::string& path, uint64_t size) : path_(path) {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) throwFileError(path, "cannot write", EISDIR);
  std::string temporary;
  do {  // a process of this number may have been killed here, and have left its file
    temporary = besideOf(path, static_cast<long>(::getpid()));
    file_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (file_ < 0 && errno == EEXIST);
  if (file_ < 0) throwFileError(path, "cannot write");
  temporary_ = temporary;
  try {
    reserve(size);
  } catch (...) {
    remove();
    throw;
  }
}

// A full disk shows now, not after gigabytes. File systems that cannot promise space are taken at their word later.
void AtomicFile::reserve(uint64_t size) {
#ifdef __linux__
  if (size == 0) return;
  int result;
  do result = ::fallocate(file_, 0, 0, static_cast<off_t>(size));
  while (result != 0 && errno == EINTR);
  if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) throwFileError(path_, "cannot write");
#else
  (void)size;
#endif
}

void AtomicFile::remove() noexcept {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
  ::unlink(temporary_.c_str());
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) remove();
}

void AtomicFile::commit() {
  int result = -1;
#ifdef __APPLE__
  result = ::fcntl(file_, F_FULLFSYNC);  // fsync stops at the drive's own cache
#endif
  if (result != 0) result = ::fsync(file_);
  if (result != 0) throwFileError(path_, "cannot flush to the disk");
  const int closed = ::close(file_);
  file_ = -1;
  if (closed != 0) throwFileError(path_, "cannot write");  // where network file systems report a full disk
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throwFileError(path_, "cannot replace");
  temporary_.clear();
  // The new name is on the disk only when its folder is. Some file systems cannot flush a folder: nothing is lost.
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash);
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
}

#endif

}  // namespace qwen_pt

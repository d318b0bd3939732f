// The operating system's errors about files, as exceptions that name the file; and paths as Windows wants them.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

#ifdef _WIN32
#include <windows.h>
#endif

namespace qwen_pt {

struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

#ifdef _WIN32
inline int lastError() { return static_cast<int>(GetLastError()); }

inline std::wstring wide(const std::string& utf8) {
  const int length = MultiByteToWideChar(CP_UTF8, 0, utf8.data(), static_cast<int>(utf8.size()), nullptr, 0);
  std::wstring text(static_cast<size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, utf8.data(), static_cast<int>(utf8.size()), text.data(), length);
  return text;
}
#else
inline int lastError() { return errno; }
#endif

[[noreturn]] inline void throwFileError(const std::string& path, const std::string& what, int code = lastError()) {
  throw FileError(path + ": " + what + ": " + std::system_category().message(code));
}

}  // namespace qwen_pt

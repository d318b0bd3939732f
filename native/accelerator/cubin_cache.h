// The text of a kernel's source, and the file in which its compiled code is kept: named by the architecture, the compiler
// and what was compiled, so that a new version of any finds nothing. A folder that cannot be written costs a second of
// compiling a process, and no run.
#pragma once

#include "nvrtc.h"

#include <string>
#include <vector>

namespace qwen_pt {

class KernelSource {
 public:
  /// `name`.cu of a folder, and the header that it includes. Throws c10::Error where they cannot be read.
  KernelSource(const std::string& folder, const std::string& name);

  const SourceText& source() const { return source_; }
  const std::vector<SourceText>& headers() const { return headers_; }
  /// A file's name: "norm-sm_90-13.0-0123456789abcdef.cubin".
  std::string key(const std::string& compiler, const std::string& architecture) const;

 private:
  std::string name_;
  SourceText source_;
  std::vector<SourceText> headers_;
};

class CubinCache {
 public:
  CubinCache(const std::string& folder, const std::string& file);

  /// The code; empty where there is none.
  std::string read() const;
  /// Whole or not at all; where it cannot be, nothing happens.
  void write(const std::string& code) const;

 private:
  std::string folder_, path_;
};

}  // namespace qwen_pt

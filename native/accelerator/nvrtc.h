// Compiles CUDA C++ at run time by NVRTC, which comes with the CUDA build of libtorch, or as a package by itself
// (QWEN_PT_NVRTC): neither a toolkit, nor headers, nor a card is needed.
#pragma once

#include <string>
#include <vector>

namespace qwen_pt {

/// A source or header: its name in messages and #include, and its text.
struct SourceText {
  std::string name, text;
};

struct Compiled {
  std::string code;  // a cubin; PTX for an architecture that begins with compute_
  std::string log;   // the compiler's warnings, or why there is no code
  bool done = false;
};

class Nvrtc {
 public:
  /// The compiler of this process, or null with the reason in `error`.
  static const Nvrtc* find(std::string& error);

  /// "13.0"
  const std::string& version() const { return version_; }
  /// Numbers such as 75, 90, 120: compute capabilities that it compiles for, rising.
  const std::vector<int>& architectures() const { return architectures_; }
  /// `architecture`: sm_90, sm_90a, compute_120.
  Compiled compile(const SourceText& source, const std::vector<SourceText>& headers,
                   const std::string& architecture) const;

 private:
  explicit Nvrtc(void* library);

  void* library_;
  std::string version_;
  std::vector<int> architectures_;
};

}  // namespace qwen_pt

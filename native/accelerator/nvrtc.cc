// NVRTC's functions, found by name; their signatures are those of nvrtc.h of CUDA 12 and 13.

#include "nvrtc.h"

#include "libraries.h"

#include <memory>

namespace qwen_pt {

namespace {

using Program = void*;
using Result = int;  // 0 is success

template <typename Function>
Function* need(void* library, const char* name) {
  auto* found = reinterpret_cast<Function*>(symbolOf(library, name));
  if (!found) throw std::string(name) + " is missing";
  return found;
}

/// A program that is destroyed whatever happens.
class OwnProgram {
 public:
  OwnProgram(void* library, Program program)
      : destroy_(need<Result(Program*)>(library, "nvrtcDestroyProgram")), program_(program) {}
  ~OwnProgram() { destroy_(&program_); }
  OwnProgram(const OwnProgram&) = delete;
  OwnProgram& operator=(const OwnProgram&) = delete;

 private:
  Result (*destroy_)(Program*);
  Program program_;
};

/// What a pair of functions gives: its size, then its bytes.
std::string textOf(void* library, Program program, const char* size, const char* get) {
  size_t bytes = 0;
  if (need<Result(Program, size_t*)>(library, size)(program, &bytes) != 0) return "";
  std::string text(bytes, '\0');
  if (need<Result(Program, char*)>(library, get)(program, text.data()) != 0) return "";
  return text;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n')) text.pop_back();
  return text;
}

}  // namespace

Nvrtc::Nvrtc(void* library) : library_(library) {
  int major = 0, minor = 0, count = 0;
  need<Result(int*, int*)>(library, "nvrtcVersion")(&major, &minor);
  version_ = std::to_string(major) + "." + std::to_string(minor);
  need<Result(int*)>(library, "nvrtcGetNumSupportedArchs")(&count);
  architectures_.resize(count);
  need<Result(int*)>(library, "nvrtcGetSupportedArchs")(architectures_.data());
}

const Nvrtc* Nvrtc::find(std::string& error) {
  static std::string reason;
  static const std::unique_ptr<const Nvrtc> found = []() -> std::unique_ptr<const Nvrtc> {
    void* library = nvrtcLibrary(reason);
    if (!library) return nullptr;
    try {
      return std::unique_ptr<const Nvrtc>(new Nvrtc(library));
    } catch (const std::string& missing) {
      reason = missing;
      return nullptr;
    }
  }();
  error = reason;
  return found.get();
}

Compiled Nvrtc::compile(const SourceText& source, const std::vector<SourceText>& headers,
                        const std::string& architecture) const {
  Compiled result;
  try {
    std::vector<const char*> texts, names;
    for (const SourceText& header : headers) {
      texts.push_back(header.text.c_str());
      names.push_back(header.name.c_str());
    }
    Program program = nullptr;
    const auto create = need<Result(Program*, const char*, const char*, int, const char* const*, const char* const*)>(
        library_, "nvrtcCreateProgram");
    const Result created = create(&program, source.text.c_str(), source.name.c_str(), static_cast<int>(headers.size()),
                                  texts.data(), names.data());
    if (created != 0) {
      result.log = need<const char*(Result)>(library_, "nvrtcGetErrorString")(created);
      return result;
    }
    const OwnProgram own(library_, program);
    const std::string target = "--gpu-architecture=" + architecture;
    const char* options[] = {target.c_str(), "--std=c++17", "--device-as-default-execution-space"};
    const Result compiled =
        need<Result(Program, int, const char* const*)>(library_, "nvrtcCompileProgram")(program, 3, options);
    result.log = trimmed(textOf(library_, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog"));
    if (compiled != 0) {
      if (result.log.empty()) result.log = need<const char*(Result)>(library_, "nvrtcGetErrorString")(compiled);
      return result;
    }
    const bool isPtx = architecture.rfind("compute_", 0) == 0;
    result.code = isPtx ? textOf(library_, program, "nvrtcGetPTXSize", "nvrtcGetPTX")
                        : textOf(library_, program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN");
    result.done = !result.code.empty();
  } catch (const std::string& missing) {
    result.log = missing;
  }
  return result;
}

}  // namespace qwen_pt

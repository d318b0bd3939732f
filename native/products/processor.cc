// What this processor can do. Only x86-64 is looked at: elsewhere libtorch's own products are left alone.

#include "processor.h"

#include <ATen/Version.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace qwen_pt {

namespace {

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
std::string upper(const char* text) {
  std::string word = text == nullptr ? "" : text;
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::toupper(c); });
  return word;
}

struct Arithmetic16 {
  bool bfloat16, half, tiles;
};

/// oneDNN multiplies 16-bit numbers for libtorch, and ONEDNN_MAX_CPU_ISA lowers what it uses.
Arithmetic16 arithmetic() {
  if (at::get_cpu_capability() != "AVX512") return {false, false, false};
  const std::string most = upper(std::getenv("ONEDNN_MAX_CPU_ISA"));
  const bool any = most.empty() || most == "DEFAULT" || most == "ALL";
  const bool tiles = any || most.find("AMX") != std::string::npos;
  const bool half = tiles || most.find("FP16") != std::string::npos;
  const bool bfloat16 = half || most.find("BF16") != std::string::npos;
  return {bfloat16 && __builtin_cpu_supports("avx512bf16"), half && __builtin_cpu_supports("avx512fp16"),
          tiles && __builtin_cpu_supports("amx-bf16")};
}
#else
struct Arithmetic16 {
  bool bfloat16, half, tiles;
};

Arithmetic16 arithmetic() { return {true, true, false}; }
#endif

const Arithmetic16& found() {
  static const Arithmetic16 arithmetic16 = arithmetic();
  return arithmetic16;
}

std::string nameOf() {
  const std::string capability = at::get_cpu_capability();
  if (capability != "AVX512") return capability == "DEFAULT" ? "default" : capability;
  if (found().tiles) return "AMX";
  return found().bfloat16 ? "AVX512_BF16" : "AVX512";
}

}  // namespace

const std::string& processorKind() {
  static const std::string name = nameOf();
  return name;
}

bool multipliesNatively(c10::ScalarType dtype) {
  if (dtype == c10::ScalarType::BFloat16) return found().bfloat16;
  if (dtype == c10::ScalarType::Half) return found().half;
  return true;
}

}  // namespace qwen_pt

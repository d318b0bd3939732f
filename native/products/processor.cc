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

/// oneDNN multiplies 16-bit numbers for libtorch, and ONEDNN_MAX_CPU_ISA lowers what it uses: so it does here.
Instructions look() {
  const std::string most = upper(std::getenv("ONEDNN_MAX_CPU_ISA"));
  const bool any = most.empty() || most == "DEFAULT" || most == "ALL";
  const auto names = [&](const char* word) { return most.find(word) != std::string::npos; };
  const bool tiles = any || names("AMX"), half = tiles || names("FP16"), bfloat16 = half || names("BF16");
  const bool integers512 = bfloat16 || names("AVX512_CORE_VNNI");
  const bool integers256 = any || names("AVX512") || names("AVX2_VNNI");
  const std::string capability = at::get_cpu_capability();
  const bool wide = capability == "AVX512";
  Instructions found{};
  found.bfloat16 = wide && bfloat16 && __builtin_cpu_supports("avx512bf16");
  found.half = wide && half && __builtin_cpu_supports("avx512fp16");
  found.tiles = wide && tiles && __builtin_cpu_supports("amx-bf16");
  found.integers512 = wide && integers512 && __builtin_cpu_supports("avx512vnni");
  found.integers256 = capability == "AVX2" && integers256 && __builtin_cpu_supports("avxvnni");
  return found;
}
#else
Instructions look() { return {true, true, false, false, false}; }
#endif

std::string nameOf() {
  const std::string capability = at::get_cpu_capability();
  const Instructions& has = instructions();
  if (capability == "AVX2") return has.integers256 ? "AVX2_VNNI" : "AVX2";
  if (capability != "AVX512") return capability == "DEFAULT" ? "default" : capability;
  if (has.tiles) return "AMX";
  if (has.bfloat16) return "AVX512_BF16";
  return has.integers512 ? "AVX512_VNNI" : "AVX512";
}

}  // namespace

const Instructions& instructions() {
  static const Instructions found = look();
  return found;
}

const std::string& processorKind() {
  static const std::string name = nameOf();
  return name;
}

bool multipliesNatively(c10::ScalarType dtype) {
  if (dtype == c10::ScalarType::BFloat16) return instructions().bfloat16;
  if (dtype == c10::ScalarType::Half) return instructions().half;
  return true;
}

}  // namespace qwen_pt

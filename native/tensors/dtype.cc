#include "dtype.h"

#include <c10/util/Exception.h>

#include "binding/instance.h"

namespace qwen_pt {

namespace {
struct Named {
  const char* name;
  at::ScalarType type;
};
// clang-format off: a table, two to a line
constexpr Named kTypes[] = {
    {"float32", at::kFloat},       {"float64", at::kDouble},
    {"bfloat16", at::kBFloat16},   {"float16", at::kHalf},
    {"int64", at::kLong},          {"int32", at::kInt},
    {"int16", at::kShort},         {"int8", at::kChar},
    {"uint8", at::kByte},          {"bool", at::kBool},
    {"uint16", at::kUInt16},       {"uint32", at::kUInt32},
    {"uint64", at::kUInt64},       {"complex64", at::kComplexFloat},
    {"complex128", at::kComplexDouble},
    {"float8_e4m3fn", at::kFloat8_e4m3fn}, {"float8_e5m2", at::kFloat8_e5m2},
};
// clang-format on
}  // namespace

const char* dtypeName(at::ScalarType type) {
  for (const auto& named : kTypes) {
    if (named.type == type) return named.name;
  }
  return c10::toString(type);
}

at::ScalarType dtypeOf(const std::string& name) {
  for (const auto& named : kTypes) {
    if (name == named.name) return named.type;
  }
  throw CodedError("ERR_ARGUMENT", "unknown dtype '" + name +
                                       "'; known: float32, float64, bfloat16, float16, int64, "
                                       "int32, int16, int8, uint8, bool");
}

at::Device deviceOf(const std::string& name) {
  try {
    return at::Device(name);
  } catch (const c10::Error&) {
    throw CodedError("ERR_ARGUMENT", "unknown device '" + name + "'; use cpu, cuda, cuda:0 or meta");
  }
}

}  // namespace qwen_pt

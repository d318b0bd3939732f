// Sizes in whole steps. In an unnamed namespace, so that nothing compiled for one processor is linked into code for another.
#pragma once

#include <cstdint>

namespace qwen_pt {
namespace {

[[maybe_unused]] constexpr int64_t roundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace
}  // namespace qwen_pt

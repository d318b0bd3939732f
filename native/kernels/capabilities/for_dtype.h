// From a dtype to the C++ type that a kernel is compiled for. Included by files of one capability, with internal linkage.
#pragma once

#include <c10/core/ScalarType.h>

namespace qwen_pt {
namespace {

/// Calls `body` with a value of the C++ type of `dtype`; what is none of the four was refused before.
template <typename Body>
void forType(c10::ScalarType dtype, const Body& body) {
  switch (dtype) {
    case c10::ScalarType::BFloat16: return body(c10::BFloat16());
    case c10::ScalarType::Half: return body(c10::Half());
    case c10::ScalarType::Double: return body(double());
    default: return body(float());
  }
}

/// The same for what a product reads and writes: 16 bits or float.
template <typename Body>
void forProductType(c10::ScalarType dtype, const Body& body) {
  switch (dtype) {
    case c10::ScalarType::BFloat16: return body(c10::BFloat16());
    case c10::ScalarType::Half: return body(c10::Half());
    default: return body(float());
  }
}

/// The same for what is of 16 bits.
template <typename Body>
void forNarrowType(c10::ScalarType dtype, const Body& body) {
  return dtype == c10::ScalarType::Half ? body(c10::Half()) : body(c10::BFloat16());
}

}  // namespace
}  // namespace qwen_pt

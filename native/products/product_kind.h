// What multiplies 16-bit numbers in this process: the processor decides, QWEN_PT_PRODUCTS overrules it.
#pragma once

#include <c10/core/ScalarType.h>

#include <string_view>

namespace qwen_pt {

enum class ProductKind {
  native,  // libtorch's own product
  packed,  // of bfloat16 pairs, from packed operands (packed_product.h)
  panels,  // widened panel by panel, multiplied in float (panel_product.h)
  int16,   // in integers (fixed_point_product.h)
};

/// Of a frozen weight of this 16-bit dtype.
ProductKind frozenProductKind(c10::ScalarType dtype);

/// Of any two matrices of this dtype.
ProductKind productKind(c10::ScalarType dtype);

/// The kind of this name, for operators that are told one. Throws where there is none, or where this process has not what
/// it takes.
ProductKind productKindNamed(std::string_view name);

}  // namespace qwen_pt

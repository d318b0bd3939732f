// Products of 16-bit numbers in the place of libtorch's.
#pragma once

namespace qwen_pt {

/// Puts panel products in the place of libtorch's 16-bit ones where this processor has no arithmetic for those, packed
/// ones where it multiplies pairs of bfloat16. Once.
void installNarrowProducts();

}  // namespace qwen_pt

// Products of 16-bit numbers on processors without arithmetic for them.
#pragma once

namespace qwen_pt {

/// Puts panel products in the place of libtorch's 16-bit ones, where this processor has no arithmetic for those. Once.
void installNarrowProducts();

}  // namespace qwen_pt

#pragma once

namespace qwen_pt {

// Puts a pool in front of libtorch's CPU allocator, for this process. QWEN_PT_HOST_POOL=0 leaves libtorch's own.
void installHostAllocator();

}  // namespace qwen_pt

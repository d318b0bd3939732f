// The memory of a tensor taken away while it is not needed, and given back: the tensor, its views and what autograd has saved
// of them stay as they are, and are good to read again once the memory is back. For weights of which a rank keeps a part.
#pragma once

#include <ATen/core/Tensor.h>

namespace qwen_pt {

// Frees the memory under a tensor's storage. Reading an element of it, or of a view, is a fault until it is restored.
void releaseMemory(const at::Tensor& tensor);

// Memory for all elements of a contiguous tensor that begins its storage; nothing where it has it. Its content is not set.
void restoreMemory(const at::Tensor& tensor);

}  // namespace qwen_pt

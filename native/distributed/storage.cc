#include "storage.h"

#include <c10/core/Allocator.h>
#include <c10/core/StorageImpl.h>

namespace qwen_pt {

void releaseMemory(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_nbytes(0);
  storage->set_data_ptr_noswap(c10::DataPtr(nullptr, storage->device()));
}

void restoreMemory(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  if (storage->nbytes() > 0) return;
  const size_t bytes = static_cast<size_t>(tensor.numel()) * tensor.element_size();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

}  // namespace qwen_pt

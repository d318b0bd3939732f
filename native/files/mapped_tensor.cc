#include "mapped_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#if !defined(_WIN32)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace qwen_pt {

namespace {
void releaseMapping(void* context) { delete static_cast<std::shared_ptr<FileMapping>*>(context); }
}  // namespace

at::Tensor mappedTensor(std::shared_ptr<FileMapping> mapping, char* data, c10::IntArrayRef shape, at::ScalarType type) {
  const auto options = at::TensorOptions(type).device(at::kCPU);
  const size_t itemBytes = c10::elementSize(type);
  const size_t alignment = at::isComplexType(type) ? itemBytes / 2 : itemBytes;
  const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (empty || reinterpret_cast<uintptr_t>(data) % alignment != 0) {
    at::Tensor copy = at::empty(shape, options);
    if (copy.nbytes() != 0) std::memcpy(copy.mutable_data_ptr(), data, copy.nbytes());
    return copy;
  }
  auto holder = std::make_unique<std::shared_ptr<FileMapping>>(std::move(mapping));
  return at::for_blob(data, shape)
      .context(holder.release(), releaseMapping)
      .options(options)
      .target_device(at::kCPU)
      .make_tensor();
}

namespace {

/// Asks for a tensor's pages before they are needed: the system reads them from the file meanwhile. Nothing where the
/// tensor is not on a file's pages.
void expectPages(const at::Tensor& tensor) {
#if defined(__linux__)
  if (!tensor.has_storage() || !isMapped(tensor.storage())) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr()), end = begin + tensor.nbytes();
  const uintptr_t first = begin / page * page;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_WILLNEED);
#endif
}

/// Lets go of the pages of a tensor that was read and never written, or that lies in a scratch file: they come from the
/// file again if it is read once more. Whole pages only, so that neighbours keep theirs; nothing where the tensor is not on a file's pages.
void releasePages(const at::Tensor& tensor) {
#if defined(__linux__)
  if (!tensor.has_storage() || !isMapped(tensor.storage())) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr()), end = begin + tensor.nbytes();
  const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#endif
}

/// Zeros in a scratch file of a folder: memory that the system may put on the disk, and takes back by itself.
at::Tensor scratchZeros(c10::IntArrayRef size, at::ScalarType dtype, std::string_view folder) {
  const size_t bytes = c10::multiply_integers(size) * c10::elementSize(dtype);
  auto mapping = FileMapping::scratch(std::string(folder), bytes);
  char* data = mapping->data();
  return mappedTensor(std::move(mapping), data, size, dtype);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("expect_pages(Tensor tensor) -> ()", expectPages);
  library.def("release_pages(Tensor tensor) -> ()", releasePages);
  library.def("scratch_zeros(int[] size, ScalarType dtype, str folder) -> Tensor", scratchZeros);
}

bool isMapped(const c10::Storage& storage) { return storage.data_ptr().get_deleter() == releaseMapping; }

}  // namespace qwen_pt

// The formats that a product reads a weight from.

#include "stored_matrix.h"

#include "kernels/vector_kernels.h"

#include <vector>

namespace qwen_pt {

void StoredMatrix::read(c10::ScalarType dtype, int64_t row, int64_t height, int64_t column, int64_t width,
                        void* to) const {
  const int64_t bytes = width * static_cast<int64_t>(c10::elementSize(dtype));
  std::vector<float> wide(width);
  for (int64_t i = 0; i < height; ++i) {
    widen(row + i, 1, column, width, wide.data(), width);
    vectorKernels().panel.narrow(dtype, wide.data(), static_cast<char*>(to) + i * bytes, width, 1, 0);
  }
}

DenseMatrix::DenseMatrix(const at::Tensor& matrix)
    : data_(static_cast<const char*>(matrix.const_data_ptr())),
      dtype_(matrix.scalar_type()),
      rows_(matrix.size(0)),
      columns_(matrix.size(1)),
      stride_(matrix.stride(0)),
      itemSize_(matrix.element_size()) {
  TORCH_INTERNAL_ASSERT(matrix.stride(1) == 1 || columns_ <= 1);
}

void DenseMatrix::widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const {
  const PanelKernel& kernel = vectorKernels().panel;
  for (int64_t i = 0; i < height; ++i) {
    kernel.widen(dtype_, data_ + ((row + i) * stride_ + column) * itemSize_, to + i * ld, width);
  }
}

}  // namespace qwen_pt

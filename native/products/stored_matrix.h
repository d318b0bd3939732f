// A matrix as it is stored, which gives any rectangle of itself as float: what a product needs of a weight, whatever
// format it is kept in. A new format (4 bits, 8 bits) is one more class here, and every product takes it.
// Not here: the products (panel_product.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace qwen_pt {

class StoredMatrix {
 public:
  virtual ~StoredMatrix() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t columns() const = 0;
  /// Writes rows [row, row + height) and columns [column, column + width) to `to` [height][ld]. Called by many threads.
  virtual void widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const = 0;
};

/// Numbers of 16 bits (bfloat16, float16) or float, elements of a row beside each other.
class DenseMatrix final : public StoredMatrix {
 public:
  /// `matrix` [rows, columns], on the CPU, with stride 1 along the columns; it must outlive this.
  explicit DenseMatrix(const at::Tensor& matrix);
  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  void widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const override;

  // For products that read it where it lies.
  c10::ScalarType dtype() const { return dtype_; }
  bool isNarrow() const { return itemSize_ == 2; }
  int64_t stride() const { return stride_; }
  const void* row(int64_t index) const { return data_ + index * stride_ * itemSize_; }

 private:
  const char* data_;
  c10::ScalarType dtype_;
  int64_t rows_, columns_, stride_, itemSize_;
};

}  // namespace qwen_pt

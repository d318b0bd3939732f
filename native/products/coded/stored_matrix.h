// A matrix as it is stored, which gives any rectangle of itself as float: what a product needs of a weight, whatever
// format it is kept in. A new format (4 bits, 8 bits) is one more class here, and every product takes it.
// Not here: the products (panel_product.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace qwen_pt {

class StoredMatrix {
 public:
  virtual ~StoredMatrix() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t columns() const = 0;
  /// Writes rows [row, row + height) and columns [column, column + width) to `to` [height][ld]. Called by many threads.
  virtual void widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const = 0;
  /// The same rounded to 16 bits, or as float, rows after each other at `to` [height][width].
  virtual void read(c10::ScalarType dtype, int64_t row, int64_t height, int64_t column, int64_t width, void* to) const;
  /// Bytes of a number of few rows of x, of this dtype, as `dot` reads them; 0 where it cannot.
  virtual int64_t arrangedSize(c10::ScalarType) const { return 0; }
  /// A row of x, `columns` floats, as `dot` reads it.
  virtual void arrange(const float*, void*) const {}
  /// out [m][outStride] = x [m][columns], arranged, . row, for `count` rows from there on.
  virtual void dot(const void*, int64_t, int64_t, int64_t, float*, int64_t) const {}
  /// Its numbers where they lie, for a product that reads 16 bits as they are; null where it has none.
  struct Dense {
    const void* data;
    c10::ScalarType dtype;
    int64_t stride;
  };
  virtual std::optional<Dense> dense(int64_t row, int64_t column) const { return std::nullopt; }
};

/// Numbers of 16 bits (bfloat16, float16) or float, elements of a row beside each other.
class DenseMatrix final : public StoredMatrix {
 public:
  /// `matrix` [rows, columns], on the CPU, with stride 1 along the columns; it must outlive this.
  explicit DenseMatrix(const at::Tensor& matrix);
  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  void widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const override;

  std::optional<Dense> dense(int64_t row, int64_t column) const override {
    return Dense{data_ + (row * stride_ + column) * itemSize_, dtype_, stride_};
  }

 private:
  const char* data_;
  c10::ScalarType dtype_;
  int64_t rows_, columns_, stride_, itemSize_;
};

}  // namespace qwen_pt

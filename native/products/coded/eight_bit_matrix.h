// A weight in codes of 8 bits with a scale for each row, as bitsandbytes stores LLM.int8's (Dettmers et al. 2022,
// arXiv:2208.07339): a value is code * (scale / 127); integers that are multiplied
// as such (int8_product.h) have the unit itself. Not here: how such a weight is made (kernels/linear/quantize.cc).
#pragma once

#include "stored_matrix.h"

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// What a row's scale is multiplied by: bitsandbytes' scales are the largest magnitudes, whose code is 127.
constexpr float kEightBitUnit = 1.0f / 127.0f;

class EightBitMatrix final : public StoredMatrix {
 public:
  /// `codes` int8 [rows, columns] and `scales` float [rows], on the CPU; values are rounded to `dtype`. The tensors must
  /// outlive this.
  EightBitMatrix(const at::Tensor& codes, const at::Tensor& scales, c10::ScalarType dtype, float unit = kEightBitUnit);
  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  void widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const override;
  void read(c10::ScalarType dtype, int64_t row, int64_t height, int64_t column, int64_t width, void* to) const override;

 private:
  const int8_t* codes_;
  const float* scales_;
  const int64_t rows_, columns_;
  const c10::ScalarType dtype_;
  const float unit_;
};

/// Checks that codes [rows, columns] and scales belong together.
void checkEightBits(const at::Tensor& codes, const at::Tensor& scales);

}  // namespace qwen_pt

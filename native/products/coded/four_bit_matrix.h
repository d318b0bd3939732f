// A weight in codes of 4 bits, as bitsandbytes stores them (Dettmers et al. 2023, arXiv:2305.14314): the numbers of a
// matrix, row after row, in runs of 32 to 4096 that share a scale; scales as float, or in codes of 8 bits with scales
// in turn and an offset. Not here: how such a weight is made (kernels/linear/quantize.cc).
#pragma once

#include "four_bit_kernel.h"
#include "stored_matrix.h"

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// What the codes are read with, as a list of tensors:
///   levels [16] float; absmax [runs] float                                              or
///   levels [16] float; absmax [runs] uint8; nested absmax [runs of runs], nested levels [256], offset [] float
/// A run's length is the power of two that the sizes leave.
struct FourBitState {
  at::Tensor levels, absmax, nestedAbsmax, nestedLevels, offset;

  explicit FourBitState(at::TensorList list);
  bool nested() const { return nestedAbsmax.defined(); }
};

/// Numbers in a run where `count` of them are in `runs`.
int64_t runLength(int64_t count, int64_t runs);

class FourBitMatrix final : public StoredMatrix {
 public:
  /// `codes` uint8, rows * columns of them, two in a byte, on the CPU; values are rounded to `dtype`. The tensors must
  /// outlive this.
  FourBitMatrix(const at::Tensor& codes, const FourBitState& state, int64_t rows, int64_t columns,
                c10::ScalarType dtype);
  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  void widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const override;
  void read(c10::ScalarType dtype, int64_t row, int64_t height, int64_t column, int64_t width, void* to) const override;
  int64_t arrangedSize(c10::ScalarType dtype) const override;
  void arrange(const float* x, void* to) const override;
  void dot(const void* x, int64_t m, int64_t row, int64_t count, float* out, int64_t outStride) const override;

 private:
  struct Nested {
    const uint8_t* codes;
    const float* levels;
    const float* absmax;
    float offset;
    int length;  // as a power of two
  };

  const float* scales(int64_t first, int64_t count, float* memory) const;
  template <typename Decode>
  void forRuns(int64_t first, int64_t count, const Decode& decode) const;

  const uint8_t* codes_;
  const int64_t rows_, columns_;
  const c10::ScalarType dtype_;
  const int64_t block_;   // numbers in a run
  const int blockShift_;  // as a power of two
  const float* levels_;
  const float* scales_ = nullptr;  // of the runs, where they are not nested
  Nested nested_{};
};

}  // namespace qwen_pt

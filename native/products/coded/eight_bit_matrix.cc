#include "eight_bit_matrix.h"

#include "kernels/vector_kernels.h"

namespace qwen_pt {

void checkEightBits(const at::Tensor& codes, const at::Tensor& scales) {
  TORCH_CHECK(codes.dim() == 2 && codes.scalar_type() == at::kChar && codes.is_contiguous() &&
                  scales.scalar_type() == at::kFloat && scales.is_contiguous() && scales.numel() == codes.size(0),
              "codes int8 [out, in] and scales float32 [out] are needed, not ", codes.scalar_type(), " ", codes.sizes(),
              " and ", scales.scalar_type(), " ", scales.sizes());
}

EightBitMatrix::EightBitMatrix(const at::Tensor& codes, const at::Tensor& scales, c10::ScalarType dtype, float unit)
    : codes_(codes.const_data_ptr<int8_t>()),
      scales_(scales.const_data_ptr<float>()),
      rows_(codes.size(0)),
      columns_(codes.size(1)),
      dtype_(dtype),
      unit_(unit) {}

void EightBitMatrix::widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const {
  for (int64_t i = 0; i < height; ++i) {
    // bitsandbytes' order of roundings
    const float scale = scales_[row + i] * unit_;
    vectorKernels().eightBit.decode(dtype_, codes_ + (row + i) * columns_ + column, scale, width, to + i * ld);
  }
}

void EightBitMatrix::read(c10::ScalarType dtype, int64_t row, int64_t height, int64_t column, int64_t width,
                          void* to) const {
  // a value that was rounded to another 16 bits is rounded twice
  if (dtype != dtype_ && dtype_ != c10::ScalarType::Float) {
    return StoredMatrix::read(dtype, row, height, column, width, to);
  }
  const auto size = static_cast<int64_t>(c10::elementSize(dtype));
  for (int64_t i = 0; i < height; ++i) {
    const float scale = scales_[row + i] * unit_;
    vectorKernels().eightBit.decodeNarrow(dtype, codes_ + (row + i) * columns_ + column, scale, width,
                                          static_cast<char*>(to) + i * width * size);
  }
}

}  // namespace qwen_pt

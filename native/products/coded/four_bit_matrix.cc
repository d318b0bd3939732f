// Codes of 4 bits as a matrix that products read.

#include "four_bit_matrix.h"

#include "kernels/vector_kernels.h"

#include <algorithm>
#include <bit>
#include <vector>

namespace qwen_pt {

namespace {

bool isFloats(const at::Tensor& t) { return t.scalar_type() == at::kFloat && t.is_contiguous(); }

constexpr int64_t kRunsAtOnce = 64;
constexpr int64_t kRowsAhead = 16;

}  // namespace

int64_t runLength(int64_t count, int64_t runs) {
  TORCH_CHECK(runs > 0 && runs <= count, "the scales of a quantized weight do not belong to its codes");
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>((count + runs - 1) / runs)));
}

FourBitState::FourBitState(at::TensorList list) {
  TORCH_CHECK(list.size() == 2 || list.size() == 5, "the state of a weight of 4 bits is 2 or 5 tensors, not ",
              list.size());
  levels = list[0];
  absmax = list[1];
  TORCH_CHECK(isFloats(levels) && levels.numel() == kFourBitLevels && absmax.is_contiguous(),
              "16 levels of float32 are needed");
  if (list.size() == 2) {
    TORCH_CHECK(isFloats(absmax), "absmax must be float32 where it is not quantized");
    return;
  }
  nestedAbsmax = list[2];
  nestedLevels = list[3];
  offset = list[4];
  TORCH_CHECK(absmax.scalar_type() == at::kByte && isFloats(nestedAbsmax) && isFloats(nestedLevels) &&
                  nestedLevels.numel() == 256 && isFloats(offset) && offset.numel() == 1,
              "quantized scales are uint8, with float32 scales, 256 levels and an offset");
}

FourBitMatrix::FourBitMatrix(const at::Tensor& codes, const FourBitState& state, int64_t rows, int64_t columns,
                             c10::ScalarType dtype)
    : codes_(codes.const_data_ptr<uint8_t>()),
      rows_(rows),
      columns_(columns),
      dtype_(dtype),
      block_(runLength(rows * columns, state.absmax.numel())),
      blockShift_(std::countr_zero(static_cast<uint64_t>(block_))),
      levels_(state.levels.const_data_ptr<float>()) {
  TORCH_CHECK(codes.is_contiguous() && codes.numel() == (rows * columns + 1) / 2, codes.numel(),
              " bytes of codes do not hold [", rows, ", ", columns, "]");
  if (!state.nested()) {
    scales_ = state.absmax.const_data_ptr<float>();
    return;
  }
  nested_ = {state.absmax.const_data_ptr<uint8_t>(), state.nestedLevels.const_data_ptr<float>(),
             state.nestedAbsmax.const_data_ptr<float>(), *state.offset.const_data_ptr<float>(),
             std::countr_zero(static_cast<uint64_t>(runLength(state.absmax.numel(), state.nestedAbsmax.numel())))};
}

/// The scales of `count` runs, in `memory` where they are nested.
const float* FourBitMatrix::scales(int64_t first, int64_t count, float* memory) const {
  if (scales_ != nullptr) return scales_ + first;
  for (int64_t i = 0; i < count; ++i) {
    memory[i] = nested_.levels[nested_.codes[first + i]] * nested_.absmax[(first + i) >> nested_.length];
  }
  // a loop by itself: two roundings, where one expression might become a fused multiply-add
  for (int64_t i = 0; i < count; ++i) memory[i] += nested_.offset;
  return memory;
}

/// decode(codes, scales, part, done) for `count` numbers from the first on, row ends or not, `part` of them at a time.
template <typename Decode>
void FourBitMatrix::forRuns(int64_t first, int64_t count, const Decode& decode) const {
  float memory[kRunsAtOnce];
  for (int64_t done = 0; done < count;) {
    const int64_t within = first & (block_ - 1);
    // whole runs at once; the rest of one that is entered in the middle, or in the middle of a byte, by itself
    int64_t part = std::min(within == 0 ? kRunsAtOnce * block_ : block_ - within, count - done);
    const float* scale = scales(first >> blockShift_, (within + part + block_ - 1) >> blockShift_, memory);
    const uint8_t* codes = codes_ + first / 2;
    uint8_t second;
    if (first % 2 != 0) {
      second = static_cast<uint8_t>(*codes << 4);
      codes = &second;
      part = 1;
    }
    decode(codes, scale, part, done);
    first += part;
    done += part;
  }
}

int64_t FourBitMatrix::arrangedSize(c10::ScalarType dtype) const {
  // rows that begin with a run; x may be rounded to the values' dtype, so it must be its own
  if (block_ % kFourBitGroup != 0 || columns_ % block_ != 0) return 0;
  if (dtype_ != c10::ScalarType::Float && dtype != dtype_) return 0;
  return vectorKernels().fourBit.arrangedSize(dtype_);
}

void FourBitMatrix::arrange(const float* x, void* to) const {
  vectorKernels().fourBit.arrange(dtype_, x, columns_, to);
}

void FourBitMatrix::dot(const void* x, int64_t m, int64_t row, int64_t count, float* out, int64_t outStride) const {
  const int64_t runs = columns_ / block_;
  std::vector<float> memory(runs);
  FourBitDots of{x, m, nullptr, levels_, nullptr, runs, block_, nullptr, outStride};
  for (int64_t i = row; i < row + count; ++i) {
    of.codes = codes_ + i * columns_ / 2;
    of.scales = scales(i * runs, runs, memory.data());
    of.out = out + (i - row);
    vectorKernels().fourBit.dot(dtype_, of);
  }
}

void FourBitMatrix::widen(int64_t row, int64_t height, int64_t column, int64_t width, float* to, int64_t ld) const {
  const auto decode = vectorKernels().fourBit.decode;
  for (int64_t i = 0; i < height; ++i) {
    forRuns((row + i) * columns_ + column, width,
            [&](const uint8_t* codes, const float* scales, int64_t part, int64_t done) {
              decode(dtype_, codes, levels_, scales, block_, part, to + i * ld + done);
            });
  }
}

void FourBitMatrix::read(c10::ScalarType dtype, int64_t row, int64_t height, int64_t column, int64_t width,
                         void* to) const {
  // a value that was rounded to another 16 bits is rounded twice
  if (dtype != dtype_ && dtype_ != c10::ScalarType::Float) {
    return StoredMatrix::read(dtype, row, height, column, width, to);
  }
  const auto decode = vectorKernels().fourBit.decodeNarrow;
  const auto size = static_cast<int64_t>(c10::elementSize(dtype));
  auto* bytes = static_cast<char*>(to);
  for (int64_t i = 0; i < height; ++i, bytes += width * size) {
    const int64_t first = (row + i) * columns_ + column;
    // rows of a few columns are as many places in memory, which only this asks for in time
    if (width < columns_) __builtin_prefetch(codes_ + std::min(first + kRowsAhead * columns_, rows_ * columns_) / 2);
    forRuns(first, width, [&](const uint8_t* codes, const float* scales, int64_t part, int64_t done) {
      decode(dtype, codes, levels_, scales, block_, part, bytes + done * size);
    });
  }
}

}  // namespace qwen_pt

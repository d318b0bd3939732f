// Products in 8-bit integers: x is rounded once, the weight is packed a slab of the result's columns after another, tiles
// are multiplied. Nothing is kept between calls: packing costs one part in tokens.
//
//   quantize_int8(numbers [rows, columns]) -> codes int8, scales [rows], row sums int32 [rows], column sums int32 [columns]
//   product_int8(x [m, k], codes, state, transposed) -> [m, n], for tests and measurements
//   has_int8_products() -> bool

#include "int8_product.h"

#include "kernels/round_up.h"
#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;
using at::TensorList;

constexpr int64_t kSlab = 1 << 22;        // integers of a weight that are packed at once: 4 MB
constexpr int64_t kBlockBytes = 1 << 18;  // of packed panels that meet the rows of x from a core's cache
constexpr int64_t kPackedStride = 32;     // what a sum's length is rounded up to
constexpr int64_t kStrip = 64;            // columns that are packed at once: a line of the cache

const Int8Kernel& kernel() { return vectorKernels().int8; }

/// Columns [first, first + count) of a result, and what of the weight makes them.
class Slab {
 public:
  Slab(const Int8Weight& w, bool transposed, int64_t first, int64_t count)
      : transposed_(transposed),
        first_(first),
        count_(count),
        depth_(roundUp(w.codes.size(transposed ? 1 : 0), kPackedStride)),
        panels_(at::empty({roundUp(count, kInt8Columns) * depth_}, at::kChar)),
        sums_(roundUp(count, kInt8Columns)) {
    const Tensor& sums = transposed ? w.rowSums : w.columnSums;
    std::copy_n(sums.const_data_ptr<int32_t>() + first, count, sums_.begin());
    transposed ? packRows(w) : packColumns(w);
  }

  int64_t first() const { return first_; }
  int64_t columns() const { return count_; }
  int64_t depth() const { return depth_; }
  const int8_t* panels() const { return panels_.const_data_ptr<int8_t>(); }
  const int32_t* sums() const { return sums_.data(); }

 private:
  void packRows(const Int8Weight& w) {
    const int64_t width = w.codes.size(1), groups = (count_ + kInt8Columns - 1) / kInt8Columns;
    const auto* codes = w.codes.const_data_ptr<int8_t>();
    auto* to = panels_.data_ptr<int8_t>();
    at::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        const int64_t from = group * kInt8Columns, there = std::min(kInt8Columns, count_ - from);
        kernel().packColumns(codes + (first_ + from) * width, width, there, width, depth_, to + from * depth_);
      }
    });
  }

  void packColumns(const Int8Weight& w) {
    const int64_t rows = w.codes.size(0), width = w.codes.size(1);
    const int64_t strips = (count_ + kStrip - 1) / kStrip;
    const auto* codes = w.codes.const_data_ptr<int8_t>();
    auto* to = panels_.data_ptr<int8_t>();
    at::parallel_for(0, strips, 1, [&](int64_t begin, int64_t end) {
      for (int64_t strip = begin; strip < end; ++strip) {
        // down a few panels at a time: each is written from its beginning to its end
        const int64_t column = strip * kStrip, some = std::min(kStrip, count_ - column);
        for (int64_t quad = 0; quad < depth_ / 4; ++quad) {
          const int64_t there = std::clamp<int64_t>(rows - quad * 4, 0, 4);
          kernel().packDepth(codes + std::min(quad * 4, rows) * width + first_ + column, width, there, some,
                             to + column * depth_ + quad * 4 * kInt8Columns, depth_ * kInt8Columns);
        }
      }
    });
  }

  const bool transposed_;
  const int64_t first_, count_, depth_;
  Tensor panels_;
  std::vector<int32_t> sums_;
};

/// x's integers.
class Tokens {
 public:
  Tokens(const Tensor& x, int64_t depth, const float* factors)
      // a line more than the depth: rows would meet in the same few places of the cache
      : stride_(depth + 64),
        integers_(at::empty({roundUp(x.size(0), kInt8Rows) * stride_}, at::kByte)),
        scales_(x.size(0)) {
    const int64_t rows = x.size(0), width = x.size(1);
    const auto* from = static_cast<const char*>(x.const_data_ptr());
    auto* to = integers_.data_ptr<uint8_t>();
    at::parallel_for(0, rows, std::max<int64_t>(16384 / std::max<int64_t>(width, 1), 1), [&](int64_t a, int64_t b) {
      for (int64_t i = a; i < b; ++i) {
        scales_[i] = kernel().quantizeToken(x.scalar_type(), from + i * x.stride(0) * x.element_size(), factors, width,
                                            to + i * stride_, stride_);
      }
    });
    std::fill(to + rows * stride_, to + integers_.numel(), uint8_t(0));
  }

  int64_t stride() const { return stride_; }
  const uint8_t* row(int64_t index) const { return integers_.const_data_ptr<uint8_t>() + index * stride_; }
  const float* scales() const { return scales_.data(); }

 private:
  int64_t stride_;
  Tensor integers_;
  std::vector<float> scales_;
};

void multiply(const Tokens& x, const Slab& slab, const float* columnScales, const Tensor& out, float beta) {
  const int64_t rows = out.size(0), columns = slab.columns();
  // two panels meet a tile: one alone would be read as often for half of the sums
  int64_t width = std::max<int64_t>(kBlockBytes / (slab.depth() * 2 * kInt8Columns), 1) * 2 * kInt8Columns;
  const int64_t threads = at::get_num_threads();
  while (width > kInt8Columns && (columns + width - 1) / width < 2 * threads) width = roundUp(width / 2, kInt8Columns);
  const int64_t blocks = (columns + width - 1) / width;
  const int64_t parts = std::clamp<int64_t>(2 * threads / blocks, 1, std::max<int64_t>(rows / 48, 1));
  const int64_t part = roundUp((rows + parts - 1) / parts, kInt8Rows);
  auto* to = static_cast<char*>(out.data_ptr());
  at::parallel_for(0, blocks * parts, 1, [&](int64_t a, int64_t b) {
    for (int64_t task = a; task < b; ++task) {
      const int64_t column = task / parts * width, row = task % parts * part;
      if (row >= rows) continue;
      Int8Task work{};
      work.x = x.row(row);
      work.xStride = x.stride();
      work.panels = slab.panels() + column * slab.depth();
      work.quads = slab.depth() / 4;
      work.rows = std::min(part, rows - row);
      work.columns = std::min(width, columns - column);
      work.sums = slab.sums() + column;
      work.rowScales = x.scales() + row;
      work.columnScales = columnScales == nullptr ? nullptr : columnScales + slab.first() + column;
      work.dtype = out.scalar_type();
      work.out = to + (row * out.stride(0) + slab.first() + column) * out.element_size();
      work.outStride = out.stride(0);
      work.beta = beta;
      kernel().multiply(work);
    }
  });
}

bool isVector(const Tensor& t, at::ScalarType dtype, int64_t size) {
  return t.scalar_type() == dtype && t.is_contiguous() && t.numel() == size;
}

}  // namespace

bool hasInt8Products() { return kernel().multiply != nullptr; }

Int8Weight::Int8Weight(const Tensor& given, TensorList state) : codes(given) {
  TORCH_CHECK(state.size() == 3, "the state of a weight of int8 products is 3 tensors, not ", state.size());
  scales = state[0];
  rowSums = state[1];
  columnSums = state[2];
  TORCH_CHECK(codes.dim() == 2 && codes.scalar_type() == at::kChar && codes.is_contiguous() &&
                  isVector(scales, at::kFloat, codes.size(0)) && isVector(rowSums, at::kInt, codes.size(0)) &&
                  isVector(columnSums, at::kInt, codes.size(1)),
              "codes int8 [out, in], scales float32 [out], sums int32 [out] and [in] are needed");
}

void int8Product(const Tensor& given, const Int8Weight& w, bool transposed, const Tensor& out, float beta) {
  TORCH_CHECK(hasInt8Products(), "products in 8-bit integers need AVX2");
  TORCH_INTERNAL_ASSERT(given.size(1) == w.codes.size(transposed ? 1 : 0) && out.stride(1) == 1);
  const Tensor x = given.stride(1) == 1 ? given : given.contiguous();
  const float* scales = w.scales.const_data_ptr<float>();
  const int64_t depth = roundUp(x.size(1), kPackedStride), columns = out.size(1);
  const int64_t fitting = roundUp(std::max<int64_t>(kSlab / std::max<int64_t>(depth, 1), 1), kInt8Columns);
  const Tokens tokens(x, depth, transposed ? nullptr : scales);
  for (int64_t first = 0; first < columns; first += fitting) {
    const Slab slab(w, transposed, first, std::min(fitting, columns - first));
    multiply(tokens, slab, transposed ? scales : nullptr, out, beta);
  }
}

namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor> quantize(const Tensor& given) {
  TORCH_CHECK(hasInt8Products(), "products in 8-bit integers need AVX2");
  const auto dtype = given.scalar_type();
  TORCH_CHECK(given.dim() == 2 && (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf),
              "a weight [out, in] of 16 bits or float32 is quantized, not ", dtype, " ", given.sizes());
  const Tensor numbers = given.contiguous();
  const int64_t rows = numbers.size(0), width = numbers.size(1), blocks = (rows + kInt8Depth - 1) / kInt8Depth;
  const Tensor codes = at::empty({rows, width}, numbers.options().dtype(at::kChar));
  const Tensor scales = at::empty({rows}, numbers.options().dtype(at::kFloat));
  const Tensor rowSums = at::zeros({rows}, numbers.options().dtype(at::kInt));
  const Tensor columnSums = at::zeros({width}, rowSums.options());
  const auto* from = static_cast<const char*>(numbers.const_data_ptr());
  auto* to = codes.data_ptr<int8_t>();
  auto* sums = rowSums.data_ptr<int32_t>();
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> wide(kInt8Depth * width);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block * kInt8Depth, count = std::min(kInt8Depth, rows - row);
      vectorKernels().panel.widen(dtype, from + row * width * numbers.element_size(), wide.data(), count * width);
      kernel().quantizeRows(wide.data(), count, width, to + row * width, scales.data_ptr<float>() + row);
      for (int64_t i = row; i < row + count; ++i) {
        for (int64_t column = 0; column < width; ++column) sums[i] += to[i * width + column];
      }
    }
  });
  auto* across = columnSums.data_ptr<int32_t>();
  at::parallel_for(0, width, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t column = begin; column < end; ++column) across[column] += to[i * width + column];
    }
  });
  return {codes, scales, rowSums, columnSums};
}

Tensor product(const Tensor& x, const Tensor& codes, TensorList state, bool transposed) {
  const Int8Weight weight(codes, state);
  TORCH_CHECK(x.dim() == 2 && x.size(1) == codes.size(transposed ? 1 : 0), "x ", x.sizes(), " and codes ",
              codes.sizes(), " do not belong together");
  const Tensor out = at::empty({x.size(0), codes.size(transposed ? 0 : 1)}, x.options());
  int8Product(x, weight, transposed, out);
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("quantize_int8(Tensor numbers) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def("product_int8(Tensor x, Tensor codes, Tensor[] state, bool transposed) -> Tensor");
  library.def("has_int8_products() -> bool", hasInt8Products);
}

TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("quantize_int8", quantize);
  library.impl("product_int8", product);
}

}  // namespace qwen_pt

// Products in 16-bit integers: a slab of the weight's rows is packed, x is rounded so that it suits the slab, tiles are
// multiplied. Nothing is kept between calls: packing costs one part in tokens. Sums are exact, so the result depends
// neither on the number of threads nor on how the work is dealt to them.

#include "fixed_point_product.h"

#include "kernels/round_up.h"
#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kSlab = 1 << 22;        // integers of a weight that are packed at once: 8 MB
constexpr int64_t kDepth = 4096;          // of a sum in integers: a longer one would leave x too few bits
constexpr int64_t kBlockBytes = 1 << 18;  // of packed panels that meet the rows of x from a core's cache

const FixedPointKernel& kernel() { return vectorKernels().fixedPoint; }

struct Integers {
  Tensor memory;
  int16_t* data = nullptr;
  explicit Integers(int64_t count) : memory(at::empty({count}, at::kShort)), data(memory.data_ptr<int16_t>()) {}
};

/// Rows [row, row + rows) of a weight, and their columns [column, column + columns), as panels of the result's columns.
class Slab {
 public:
  Slab(const StoredMatrix& w, bool transposed, int64_t row, int64_t rows, int64_t column, int64_t columns)
      : transposed_(transposed),
        row_(row),
        rows_(rows),
        groups_((rows + kFixedColumns - 1) / kFixedColumns),
        column_(column),
        width_(columns),
        stride_(roundUp(columns, kFixedColumns)),
        panels_(roundUp(rows, kFixedColumns) * stride_),
        scales_(rows) {
    pack(w);
  }

  /// Where its sums begin among x's columns, and its columns among the result's.
  int64_t start() const { return transposed_ ? column_ : row_; }
  int64_t into() const { return transposed_ ? row_ : column_; }
  /// Of a sum.
  int64_t depth() const { return transposed_ ? width_ : rows_; }
  int64_t paddedDepth() const { return transposed_ ? stride_ : groups_ * kFixedColumns; }
  int64_t columns() const { return transposed_ ? rows_ : width_; }
  const int16_t* panels() const { return panels_.data; }
  const float* scales() const { return scales_.data(); }
  double norm() const { return norm_; }

 private:
  void pack(const StoredMatrix& w) {
    const int64_t threads = at::get_num_threads();
    // only for a format that has to be widened first
    const Tensor wide = at::empty({w.dense(0, 0) ? 0 : threads, kFixedColumns * width_}, at::kFloat);
    Integers rounded(threads * kFixedColumns * stride_);
    const Tensor squares = transposed_ ? Tensor() : at::zeros({threads, stride_}, at::kFloat);
    std::vector<double> most(threads, 0);
    at::parallel_for(0, groups_, 1, [&](int64_t first, int64_t end) {
      const int64_t thread = at::get_thread_num();
      float* rows = wide.data_ptr<float>() + thread * kFixedColumns * width_;
      int16_t* integers = rounded.data + thread * kFixedColumns * stride_;
      for (int64_t group = first; group < end; ++group) {
        const int64_t from = group * kFixedColumns, count = std::min(kFixedColumns, rows_ - from);
        StoredMatrix::Dense dense{rows, at::kFloat, width_};
        if (const auto given = w.dense(row_ + from, column_)) {
          dense = *given;
        } else {
          w.widen(row_ + from, count, column_, width_, rows, width_);
        }
        const double largest = kernel().quantizeRows(dense.dtype, dense.data, dense.stride, count, width_, integers,
                                                     stride_, scales_.data() + from);
        if (transposed_) {
          kernel().packColumns(integers, stride_, panels_.data + from * stride_);
          most[thread] = std::max(most[thread], largest);
        } else {
          kernel().packDepth(integers, stride_, panels_.data + from * kFixedColumns, paddedDepth() * kFixedColumns,
                             squares.data_ptr<float>() + thread * stride_);
        }
      }
    });
    if (transposed_) {
      norm_ = std::sqrt(*std::max_element(most.begin(), most.end()));
      return;
    }
    double highest = 0;
    for (int64_t column = 0; column < width_; ++column) {
      double sum = 0;
      for (int64_t thread = 0; thread < threads; ++thread) sum += squares.data_ptr<float>()[thread * stride_ + column];
      highest = std::max(highest, sum);
    }
    norm_ = std::sqrt(highest * 1.0001);  // sums in float
  }

  const bool transposed_;
  const int64_t row_, rows_, groups_, column_, width_, stride_;
  Integers panels_;
  std::vector<float> scales_;
  double norm_ = 0;
};

/// x as integers that suit a slab.
class Tokens {
 public:
  Tokens(const Tensor& x, const Slab& slab, bool transposed)
      // a line more than the depth: rows would meet in the same few places of the cache
      : stride_(slab.paddedDepth() + 32), integers_(roundUp(x.size(0), kFixedRows) * stride_), scales_(x.size(0)) {
    const int64_t rows = x.size(0), depth = slab.depth(), first = slab.start();
    const auto* from = static_cast<const char*>(x.const_data_ptr());
    const int64_t size = x.element_size();
    at::parallel_for(0, rows, std::max<int64_t>(16384 / std::max<int64_t>(depth, 1), 1), [&](int64_t a, int64_t b) {
      for (int64_t i = a; i < b; ++i) {
        scales_[i] = kernel().quantizeToken(x.scalar_type(), from + (i * x.stride(0) + first) * size,
                                            transposed ? nullptr : slab.scales(), depth, slab.norm(),
                                            integers_.data + i * stride_, stride_);
      }
    });
    std::fill(integers_.data + rows * stride_, integers_.data + roundUp(rows, kFixedRows) * stride_, int16_t(0));
  }

  int64_t stride() const { return stride_; }
  const int16_t* row(int64_t index) const { return integers_.data + index * stride_; }
  const float* scales() const { return scales_.data(); }

 private:
  int64_t stride_;
  Integers integers_;
  std::vector<float> scales_;
};

void multiply(const Tokens& x, const Slab& slab, bool transposed, const Tensor& out, float beta) {
  const int64_t rows = out.size(0), columns = slab.columns();
  const int64_t panelBytes = slab.paddedDepth() * kFixedColumns * 2;
  int64_t width = std::max<int64_t>(kBlockBytes / panelBytes, 1) * kFixedColumns;
  const int64_t threads = at::get_num_threads();
  while (width > kFixedColumns && (columns + width - 1) / width < 2 * threads)
    width = roundUp(width / 2, kFixedColumns);
  const int64_t blocks = (columns + width - 1) / width;
  const int64_t parts = std::clamp<int64_t>(2 * threads / blocks, 1, std::max<int64_t>(rows / 48, 1));
  const int64_t part = roundUp((rows + parts - 1) / parts, kFixedRows);
  auto* to = static_cast<char*>(out.data_ptr());
  at::parallel_for(0, blocks * parts, 1, [&](int64_t a, int64_t b) {
    for (int64_t task = a; task < b; ++task) {
      const int64_t column = task / parts * width, row = task % parts * part;
      if (row >= rows) continue;
      FixedPointTask work{};
      work.x = x.row(row);
      work.xStride = x.stride();
      work.panels = slab.panels() + column * slab.paddedDepth();
      work.pairs = slab.paddedDepth() / 2;
      work.rows = std::min(part, rows - row);
      work.columns = std::min(width, columns - column);
      work.rowScales = x.scales() + row;
      work.columnScales = transposed ? slab.scales() + column : nullptr;
      work.dtype = out.scalar_type();
      work.out = to + (row * out.stride(0) + slab.into() + column) * out.element_size();
      work.outStride = out.stride(0);
      work.beta = beta;
      kernel().multiply(work);
    }
  });
}

}  // namespace

bool hasFixedPoint() { return kernel().multiply != nullptr; }

void fixedPointProduct(const Tensor& given, const StoredMatrix& w, bool transposed, const Tensor& out, float beta) {
  TORCH_INTERNAL_ASSERT(hasFixedPoint() && given.size(1) == (transposed ? w.columns() : w.rows()));
  const Tensor x = given.stride(1) == 1 ? given : given.contiguous();
  const int64_t columns = transposed ? std::min(w.columns(), kDepth) : w.columns();
  const int64_t fitting = roundUp(std::max<int64_t>(kSlab / columns, 1), kFixedColumns);
  const int64_t rows = transposed ? fitting : std::min(fitting, kDepth);
  // sums of several slabs are made in float, and rounded once
  const bool several = transposed ? w.columns() > columns : w.rows() > rows;
  const Tensor sums = several ? at::empty(out.sizes(), out.options().dtype(at::kFloat)) : out;
  for (int64_t row = 0; row < w.rows(); row += rows) {
    for (int64_t column = 0; column < w.columns(); column += columns) {
      const Slab slab(w, transposed, row, std::min(rows, w.rows() - row), column,
                      std::min(columns, w.columns() - column));
      const Tokens tokens(x, slab, transposed);
      multiply(tokens, slab, transposed, sums, several ? (slab.start() > 0 ? 1 : 0) : beta);
    }
  }
  if (!several) return;
  if (beta == 0) {
    out.copy_(sums);
  } else {
    out.copy_(sums.add_(out));
  }
}

}  // namespace qwen_pt

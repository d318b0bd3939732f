// A product in float of what is stored in 16 bits or fewer. Panels of w, a range of its rows or columns, are widened into
// a buffer that stays in the cache and multiplied by libtorch's float product, a thread for each panel; x is widened
// whole, a block of it at a time. Widening costs one part in 2 x tokens, and no weight ever exists in float.

#include "panel_product.h"

#include "kernels/round_up.h"
#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm_cpu_dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm_cpu_dispatch.h>

#include <algorithm>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kRows = 2048;            // of x in one block
constexpr int64_t kDepth = 4096;           // of a sum that is made at once
constexpr int64_t kPartDepth = 1024;       // of a longer one, which is added up part by part
constexpr int64_t kPanelFloats = 1 << 19;  // in one panel: 2 MB, most of a core's cache
constexpr int64_t kMostColumns = 256, kMostSummedColumns = 512, kLeastColumns = 64;

Tensor view(float* data, int64_t rows, int64_t columns, int64_t rowStride, int64_t columnStride) {
  return at::from_blob(data, {rows, columns}, {rowStride, columnStride}, at::TensorOptions().dtype(at::kFloat));
}

/// x as float, laid out as it is: by rows, or by columns where those are its neighbours.
class WidenedBlock {
 public:
  WidenedBlock(const Tensor& x, int64_t rows, int64_t depth)
      : x_(x), byRows_(x.stride(1) == 1 || x.size(1) == 1), memory_(at::empty({rows * depth}, at::kFloat)) {}

  void fill(int64_t row, int64_t rows, int64_t start, int64_t depth) {
    outer_ = byRows_ ? rows : depth;
    inner_ = byRows_ ? depth : rows;
    const int64_t stride = byRows_ ? x_.stride(0) : x_.stride(1);
    const int64_t first = byRows_ ? row * stride + start : start * stride + row;
    const auto* from = static_cast<const char*>(x_.const_data_ptr());
    const int64_t size = x_.element_size();
    float* to = memory_.data_ptr<float>();
    at::parallel_for(0, outer_, std::max<int64_t>(32768 / std::max<int64_t>(inner_, 1), 1), [&](int64_t a, int64_t b) {
      for (int64_t i = a; i < b; ++i) {
        vectorKernels().panel.widen(x_.scalar_type(), from + (first + i * stride) * size, to + i * inner_, inner_);
      }
    });
  }

  /// Rows [row, row + rows) of the block.
  Tensor rows(int64_t row, int64_t rows) const {
    float* data = memory_.data_ptr<float>();
    return byRows_ ? view(data + row * inner_, rows, inner_, inner_, 1) : view(data + row, rows, outer_, 1, inner_);
  }

 private:
  const Tensor& x_;
  const bool byRows_;
  Tensor memory_;
  int64_t outer_ = 0, inner_ = 0;
};

struct Product {
  const Tensor& x;
  const StoredMatrix& w;
  const bool transposed;
  const Tensor& out;
  const float alpha, beta;
  const int64_t m, n, k;
};

/// Few rows: every weight is read once, where it lies, or a row of it in a buffer.
bool byDots(const Product& of) {
  const auto dense = of.w.dense(0, 0);
  return !(dense && c10::elementSize(dense->dtype) != 2) && of.transposed && of.m <= kDotRows && of.x.stride(1) == 1;
}

void dots(const Product& of) {
  const PanelKernel& kernel = vectorKernels().panel;
  const Tensor x = at::empty({of.m, of.k}, at::kFloat), sums = at::empty({of.m, of.n}, at::kFloat);
  float* wide = x.data_ptr<float>();
  float* sum = sums.data_ptr<float>();
  const auto* from = static_cast<const char*>(of.x.const_data_ptr());
  for (int64_t i = 0; i < of.m; ++i) {
    kernel.widen(of.x.scalar_type(), from + i * of.x.stride(0) * of.x.element_size(), wide + i * of.k, of.k);
  }
  const int64_t size = of.w.arrangedSize(of.x.scalar_type());
  std::vector<char> arranged(of.m * of.k * size);
  for (int64_t i = 0; size > 0 && i < of.m; ++i) of.w.arrange(wide + i * of.k, arranged.data() + i * of.k * size);
  at::parallel_for(0, of.n, std::max<int64_t>(65536 / std::max<int64_t>(of.k, 1), 1), [&](int64_t first, int64_t end) {
    if (const auto dense = of.w.dense(first, 0)) {
      kernel.dot(dense->dtype, wide, of.k, of.m, dense->data, dense->stride, end - first, of.k, sum + first, of.n);
      return;
    }
    if (size > 0) return of.w.dot(arranged.data(), of.m, first, end - first, sum + first, of.n);
    std::vector<float> row(of.k);
    for (int64_t i = first; i < end; ++i) {
      of.w.widen(i, 1, 0, of.k, row.data(), of.k);
      kernel.dot(at::kFloat, wide, of.k, of.m, row.data(), of.k, 1, of.k, sum + i, of.n);
    }
  });
  auto* to = static_cast<char*>(of.out.data_ptr());
  for (int64_t i = 0; i < of.m; ++i) {
    kernel.narrow(of.out.scalar_type(), sum + i * of.n, to + i * of.out.stride(0) * of.out.element_size(), of.n,
                  of.alpha, of.beta);
  }
}

/// Rows [row, row + rows) of x against all of w, in tasks of a range of rows and a panel of columns.
class BlockOfRows {
 public:
  BlockOfRows(const Product& of, int64_t row, int64_t rows) : of_(of), row_(row), rows_(rows) {
    summed_ = of.k > kDepth;
    depth_ = summed_ ? kPartDepth : of.k;
    columns_ = std::clamp(kPanelFloats / depth_ / 64 * 64, kLeastColumns, summed_ ? kMostSummedColumns : kMostColumns);
    const int64_t threads = at::get_num_threads();
    // tasks for every thread, two where there are as many, or one would wait for the other at the end
    const int64_t least = summed_ ? threads : 2 * threads;
    while (columns_ > kLeastColumns && (of.n + columns_ - 1) / columns_ < least) columns_ /= 2;
    columns_ = std::min(columns_, of.n);
    panels_ = (of.n + columns_ - 1) / columns_;
    parts_ = std::clamp<int64_t>(2 * threads / panels_, 1, std::max<int64_t>(rows / 64, 1));
    part_ = (rows + parts_ - 1) / parts_;
    perThread_ = roundUp(depth_ * columns_, 16) + (summed_ ? 0 : part_ * columns_);
  }

  void run() {
    const int64_t threads = at::get_num_threads();
    const Tensor scratch = at::empty({threads * perThread_}, at::kFloat);
    const Tensor sums = summed_ ? at::empty({rows_ * of_.n}, at::kFloat) : Tensor();
    WidenedBlock x(of_.x, rows_, depth_);
    for (int64_t start = 0; start < of_.k; start += depth_) {
      const int64_t depth = std::min(depth_, of_.k - start);
      x.fill(row_, rows_, start, depth);
      at::parallel_for(0, panels_ * parts_, 1, [&](int64_t first, int64_t end) {
        float* panel = scratch.data_ptr<float>() + at::get_thread_num() * perThread_;
        int64_t widened = -1;
        for (int64_t task = first; task < end; ++task) {
          const int64_t which = task / parts_, column = which * columns_;
          const int64_t width = std::min(columns_, of_.n - column);
          if (which != widened) widen(panel, column, width, start, depth);
          widened = which;
          multiply(x, panel, (task % parts_) * part_, column, width, start, depth, sums);
        }
      });
    }
  }

 private:
  /// w's part of these columns of the result: [width][depth] where it is transposed, else [depth][width].
  void widen(float* panel, int64_t column, int64_t width, int64_t start, int64_t depth) const {
    if (of_.transposed) {
      of_.w.widen(column, width, start, depth, panel, depth);
    } else {
      of_.w.widen(start, depth, column, width, panel, width);
    }
  }

  void multiply(const WidenedBlock& x, float* panel, int64_t row, int64_t column, int64_t width, int64_t start,
                int64_t depth, const Tensor& sums) const {
    const int64_t rows = std::min(part_, rows_ - row);
    if (rows <= 0) return;
    const Tensor right = of_.transposed ? view(panel, depth, width, 1, depth) : view(panel, depth, width, width, 1);
    float* tile = summed_ ? sums.data_ptr<float>() + row * of_.n + column : panel + roundUp(depth_ * columns_, 16);
    const int64_t stride = summed_ ? of_.n : width;
    Tensor into = view(tile, rows, width, stride, 1);
    if (start == 0) {
      at::cpu::mm_out(into, x.rows(row, rows), right);
    } else {
      at::cpu::addmm_out(into, into, x.rows(row, rows), right, 1, 1);
    }
    if (start + depth < of_.k) return;
    auto* out = static_cast<char*>(of_.out.data_ptr());
    const int64_t size = of_.out.element_size();
    for (int64_t i = 0; i < rows; ++i) {
      char* to = out + ((row_ + row + i) * of_.out.stride(0) + column) * size;
      vectorKernels().panel.narrow(of_.out.scalar_type(), tile + i * stride, to, width, of_.alpha, of_.beta);
    }
  }

  const Product& of_;
  const int64_t row_, rows_;
  int64_t depth_, columns_, panels_, parts_, part_, perThread_;
  bool summed_;
};

}  // namespace

void panelProduct(const Tensor& x, const StoredMatrix& w, bool transposed, const Tensor& out, float alpha, float beta) {
  const int64_t n = transposed ? w.rows() : w.columns(), k = transposed ? w.columns() : w.rows();
  TORCH_INTERNAL_ASSERT(x.size(1) == k && out.size(0) == x.size(0) && out.size(1) == n);
  const Product product{x, w, transposed, out, alpha, beta, x.size(0), n, k};
  if (product.m == 0 || n == 0 || k == 0) return;
  if (byDots(product)) return dots(product);
  for (int64_t row = 0; row < product.m; row += kRows) {
    BlockOfRows(product, row, std::min(kRows, product.m - row)).run();
  }
}

}  // namespace qwen_pt

// Packed products of bfloat16: a's rows are laid in tiles first, by all threads; then each takes columns of the result, a
// few at a time, packs what of b makes them into a buffer that stays in its cache, and multiplies. Whoever is done takes
// the next: where another program slows one core down, the other does more. Nothing is kept between calls: packing
// costs one part in 100 at 1,024 rows, and weights stay as they are for everything else.

#include "packed_product.h"

#include "kernels/round_up.h"
#include "kernels/vector_kernels.h"
#include "tensors/placement.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kRows = 2040;       // of a in one block, whole tiles
constexpr int64_t kDepth = 4096;      // of a sum that is made at once
constexpr int64_t kPartDepth = 2048;  // of a longer one, which is added up part by part
constexpr int64_t kLeast = 48;        // rows, columns and depth: fewer cost libtorch less
constexpr int64_t kColumns = 128;     // that a thread takes at once, at most

const PackedKernel& kernel() { return vectorKernels().packed; }

/// A matrix [rows, depth] that lies by rows or by columns.
struct Laid {
  const uint16_t* data;
  bool byRows;
  int64_t stride;

  explicit Laid(const Tensor& x)
      : data(static_cast<const uint16_t*>(x.const_data_ptr())),
        byRows(x.stride(1) == 1),
        stride(x.stride(byRows ? 0 : 1)) {}

  const uint16_t* at(int64_t row, int64_t depth) const {
    return byRows ? data + row * stride + depth : data + depth * stride + row;
  }
};

/// What gives the columns of a result, a few of them and a part of their depth at a time, as panels.
class Columns {
 public:
  virtual ~Columns() = default;
  virtual void pack(int64_t column, int64_t count, int64_t start, int64_t depth, uint16_t* to) const = 0;
  /// What they are packed from, to be fetched ahead; nothing where that is of no use.
  virtual NextRead next(int64_t column, int64_t count, int64_t start, int64_t depth) const {
    return {nullptr, 0, 1, 0};
  }

 protected:
  static int64_t panelOf(int64_t depth) { return roundUp(depth, 2) * kPackedColumns; }
};

/// Of bfloat16 numbers as they lie, [n, k] here.
class LaidColumns final : public Columns {
 public:
  explicit LaidColumns(const Tensor& b) : from_(b) {}

  void pack(int64_t column, int64_t count, int64_t start, int64_t depth, uint16_t* to) const override {
    const auto pack = from_.byRows ? kernel().packColumns : kernel().packColumnsAcross;
    pack(from_.at(column, start), from_.stride, count, depth, to, panelOf(depth));
  }

  /// Lines that lie across are so far apart that they would drive each other out of the cache.
  NextRead next(int64_t column, int64_t count, int64_t start, int64_t depth) const override {
    if (!from_.byRows) return {nullptr, 0, 1, 0};
    return {from_.at(column, start), count, (depth + 31) / 32, from_.stride};
  }

 private:
  const Laid from_;
};

/// Of a matrix in another format: rounded to bfloat16 in a buffer first, a panel or some rows at a time.
class StoredColumns final : public Columns {
 public:
  StoredColumns(const StoredMatrix& w, bool transposed) : w_(w), transposed_(transposed) {}

  void pack(int64_t column, int64_t count, int64_t start, int64_t depth, uint16_t* to) const override {
    const int64_t panel = panelOf(depth);
    if (transposed_) {
      for (int64_t i = 0; i < count; i += kPackedColumns, to += panel) {
        const int64_t rows = std::min(kPackedColumns, count - i);
        for (int64_t j = 0; j < depth; j += kDepthAtOnce) {
          const int64_t some = std::min(kDepthAtOnce, depth - j);
          kernel().packColumns(rounded(column + i, rows, start + j, some), some, rows, some, to + j * kPackedColumns,
                               panel);
        }
      }
      return;
    }
    for (int64_t j = 0; j < depth; j += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, depth - j);
      kernel().packColumnsAcross(rounded(start + j, rows, column, count), count, count, rows, to + j * kPackedColumns,
                                 panel);
    }
  }

 private:
  // what is between fits in a core's nearest cache
  static constexpr int64_t kRowsAtOnce = 64, kDepthAtOnce = 256;

  /// A rectangle of w, rows after each other, in a buffer of this thread.
  const uint16_t* rounded(int64_t row, int64_t height, int64_t column, int64_t width) const {
    thread_local std::vector<uint16_t> numbers;
    numbers.resize(height * width);
    w_.read(at::kBFloat16, row, height, column, width, numbers.data());
    return numbers.data();
  }

  const StoredMatrix& w_;
  const bool transposed_;
};

/// Calls `body(task)` for each of `count` tasks, from as many threads as there are.
template <typename Body>
void forTasks(int64_t count, const Body& body) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), count), 1, [&](int64_t first, int64_t end) {
    for (int64_t thread = first; thread < end; ++thread) {
      for (int64_t task = next++; task < count; task = next++) body(task);
    }
  });
}

/// A block of a's rows against all of b.
class PackedBlock {
 public:
  PackedBlock(const Tensor& a, const Columns& b, const Tensor& out, float alpha, float beta)
      : a_(a), b_(b), out_(out), alpha_(alpha), beta_(beta), m_(a.size(0)), n_(out.size(1)), k_(a.size(1)) {
    depth_ = k_ > kDepth ? kPartDepth : k_;
    tiles_ = (m_ + kPackedRows - 1) / kPackedRows;
    const int64_t threads = at::get_num_threads();
    columns_ = kColumns;
    while (columns_ > kPackedColumns && n_ < columns_ * 8 * threads) columns_ /= 2;
    const int64_t blocks = (n_ + columns_ - 1) / columns_;
    // columns enough for every thread, or a's rows in parts, each of which packs b again
    const int64_t parts = std::clamp<int64_t>(4 * threads / blocks, 1, std::max<int64_t>(tiles_ / 8, 1));
    part_ = (tiles_ + parts - 1) / parts;
    parts_ = (tiles_ + part_ - 1) / part_;
    tasks_ = blocks * parts_;
  }

  void run() {
    const auto bytes = at::TensorOptions().dtype(at::kBFloat16);
    const int64_t tile = roundUp(depth_, 2) * kPackedRows, panels = roundUp(depth_, 2) * columns_;
    const Tensor x = at::empty({tiles_ * tile}, bytes);
    const Tensor scratch = at::empty({at::get_num_threads() * panels}, bytes);
    const int64_t width = roundUp(n_, kPackedColumns);
    const Tensor sums = depth_ < k_ ? at::empty({m_ * width}, at::kFloat) : Tensor();
    auto* packed = static_cast<uint16_t*>(x.data_ptr());
    auto* own = static_cast<uint16_t*>(scratch.data_ptr());
    for (int64_t start = 0; start < k_; start += depth_) {
      const int64_t depth = std::min(depth_, k_ - start), pairs = (depth + 1) / 2;
      const int64_t each = pairs * 2 * kPackedRows;
      at::parallel_for(0, tiles_, std::max<int64_t>(16384 / each, 1), [&](int64_t first, int64_t end) {
        const auto pack = a_.byRows ? kernel().packRows : kernel().packRowsAcross;
        for (int64_t i = first; i < end; ++i) {
          const int64_t row = i * kPackedRows;
          pack(a_.at(row, start), a_.stride, std::min(kPackedRows, m_ - row), depth, packed + i * each);
        }
      });
      forTasks(tasks_, [&](int64_t task) {
        const int64_t column = task / parts_ * columns_, tileRow = task % parts_ * part_;
        PackedTask work{};
        const int64_t columns = std::min(columns_, n_ - column);
        uint16_t* into = own + at::get_thread_num() * panels;
        b_.pack(column, columns, start, depth, into);
        work.panels = into;
        work.x = packed + tileRow * each;
        work.pairs = pairs;
        work.rows = std::min(part_ * kPackedRows, m_ - tileRow * kPackedRows);
        work.columns = columns;
        if (sums.defined()) work.sums = sums.data_ptr<float>() + tileRow * kPackedRows * width + column;
        work.sumsStride = width;
        work.first = start == 0;
        work.last = start + depth == k_;
        work.out = static_cast<uint16_t*>(out_.data_ptr()) + tileRow * kPackedRows * out_.stride(0) + column;
        work.outStride = out_.stride(0);
        work.alpha = alpha_;
        work.beta = beta_;
        const int64_t after = (task + at::get_num_threads()) / parts_ * columns_;  // what this thread may take next
        work.next =
            after < n_ ? b_.next(after, std::min(columns_, n_ - after), start, depth) : NextRead{nullptr, 0, 1, 0};
        kernel().multiply(work);
      });
    }
  }

 private:
  const Laid a_;
  const Columns& b_;
  const Tensor out_;
  const float alpha_, beta_;
  const int64_t m_, n_, k_;
  int64_t depth_, tiles_, columns_, part_, parts_, tasks_;
};

bool isLaid(const Tensor& x) { return x.stride(0) == 1 || x.stride(1) == 1; }

/// a [m, k], for a result of n columns.
bool suits(const Tensor& a, int64_t k, int64_t n) {
  return a.scalar_type() == at::kBFloat16 && isOnHost(a) && a.dim() == 2 && a.size(1) == k && a.size(0) >= kLeast &&
         k >= kLeast && n >= kLeast && isLaid(a);
}

void multiply(const Tensor& a, const Columns& b, const Tensor& out, float alpha, float beta) {
  TORCH_INTERNAL_ASSERT(hasPackedProducts() && out.stride(1) == 1);
  for (int64_t row = 0; row < a.size(0); row += kRows) {
    const int64_t rows = std::min(kRows, a.size(0) - row);
    PackedBlock(a.narrow(0, row, rows), b, out.narrow(0, row, rows), alpha, beta).run();
  }
}

}  // namespace

bool hasPackedProducts() { return kernel().multiply != nullptr; }

bool suitsPacked(const Tensor& a, const Tensor& b) {
  return b.scalar_type() == at::kBFloat16 && isOnHost(b) && b.dim() == 2 && isLaid(b) && suits(a, b.size(0), b.size(1));
}

bool suitsPacked(const Tensor& a, const StoredMatrix& w, bool transposed) {
  return suits(a, transposed ? w.columns() : w.rows(), transposed ? w.rows() : w.columns());
}

void packedProduct(const Tensor& a, const Tensor& b, const Tensor& out, float alpha, float beta) {
  multiply(a, LaidColumns(b.t()), out, alpha, beta);
}

void packedProduct(const Tensor& a, const StoredMatrix& w, bool transposed, const Tensor& out, float beta) {
  multiply(a, StoredColumns(w, transposed), out, 1, beta);
}

}  // namespace qwen_pt

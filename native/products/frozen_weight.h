// A weight that is not trained, as a layer holds it: a matrix of numbers, or codes of 4 or 8 bits with the state that they
// are read with. Layers multiply by it in either form; of codes never more than a panel exists as numbers.
#pragma once

#include "products/coded/float8.h"
#include "products/coded/stored_matrix.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace qwen_pt {

class FrozenWeight {
 public:
  /// `weight` [rows, columns]. With a state: codes, of as many rows as there are for `columns`, of a weight that was of
  /// dtype `stored`. A state of one tensor are the rows' scales (eight_bit_matrix.h), or, of bytes that are 8-bit floats,
  /// their unit (float8.h); one of three goes with integers that are multiplied as such (int8_product.h), else it is
  /// four_bit_matrix.h's.
  FrozenWeight(const at::Tensor& weight, at::TensorList state, int64_t columns, std::optional<at::ScalarType> stored);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  /// Whether x may be of any dtype, and not the weight's alone.
  bool isCodes() const { return !state_.empty(); }
  const at::Tensor& weight() const { return weight_; }

  /// x w^T [m, rows]. Below autograd. `rounded`: x in 8-bit floats, made where a weight of these asks for it, for the
  /// other weights that x meets.
  at::Tensor forward(const at::Tensor& x, std::optional<Float8Matrix>* rounded = nullptr) const;
  /// dOut w [m, columns], added to `sum` in place where that is defined. Below autograd.
  at::Tensor inputGradient(const at::Tensor& dOut, at::Tensor sum = at::Tensor()) const;
  /// Rows [first, first + count) as numbers of a dtype, those of codes rounded to another one before.
  at::Tensor values(int64_t first, int64_t count, at::ScalarType dtype, at::ScalarType rounded) const;
  /// The same of codes by ATen operators: what every device does that has no kernel here.
  at::Tensor composedValues(int64_t first, int64_t count, at::ScalarType dtype, at::ScalarType rounded) const;
  /// Codes on the CPU as what products read, values rounded to a dtype.
  std::unique_ptr<StoredMatrix> matrix(at::ScalarType rounded) const;

 private:
  bool isFloat8() const { return state_.size() == 1 && weight_.scalar_type() == at::kByte; }
  bool isEightBits() const { return !isFloat8() && (state_.size() == 1 || isIntegers()); }
  bool isIntegers() const { return state_.size() == 3; }
  /// What a row's scale is multiplied by, of 8 bits.
  float unit() const;
  /// Whether x's product is made in integers.
  bool byIntegers(const at::Tensor& x) const;
  at::Tensor float8Gradient(const at::Tensor& dOut, at::Tensor sum) const;
  /// Rows of which values are made at once; a multiple of a run, so that panels begin where a run does.
  int64_t panelRows() const;
  /// Calls body(first row, rows, their values).
  template <typename Body>
  void forPanels(at::ScalarType dtype, at::ScalarType rounded, const Body& body) const;

  at::Tensor weight_;
  std::vector<at::Tensor> state_;
  int64_t rows_, columns_;
  at::ScalarType stored_;
};

/// The weights of `count` layers that share an input of this width, from a list of each one's tensor and state in turn.
std::vector<FrozenWeight> frozenWeights(at::TensorList list, size_t count, int64_t columns,
                                        std::optional<at::ScalarType> stored);

}  // namespace qwen_pt

// What the ways of taking a step of AdamW share (adamw.cc, cuda/adamw.cc).
#pragma once

#include "kernels/vector_kernels.h"

#include <ATen/core/Tensor.h>

#include <cmath>

namespace qwen_pt {

struct AdamwSettings {
  double rate, beta1, beta2, eps, decay, correction1, correction2;

  explicit AdamwSettings(at::ArrayRef<double> given) {
    TORCH_CHECK(given.size() == 6, "rate, beta1, beta2, epsilon, decay and step are needed, not ", given.size(),
                " numbers");
    rate = given[0], beta1 = given[1], beta2 = given[2], eps = given[3], decay = given[4];
    correction1 = 1 - std::pow(beta1, given[5]);
    correction2 = std::sqrt(1 - std::pow(beta2, given[5]));
  }
};

/// Runs of numbers that share a scale.
inline int64_t adamwRuns(const at::Tensor& parameter) { return (parameter.numel() + kAdamwRun - 1) / kAdamwRun; }

/// Throws where operands do not belong together.
void checkAdamw(const at::Tensor& parameter, const at::Tensor& gradient, at::TensorList state, at::TensorList levels);

/// The step by ATen operators.
void composedAdamw(const at::Tensor& parameter, const at::Tensor& gradient, at::TensorList state, at::TensorList levels,
                   at::ArrayRef<double> given);

}  // namespace qwen_pt

// Products with a weight that is not trained: the door through which every layer's frozen weight is multiplied, whatever
// it is stored in and whatever multiplies it.
#pragma once

#include <ATen/core/Tensor.h>

namespace qwen_pt {

/// x w^T [m, n] for x [m, k] and w [n, k]; into `out` where it is defined. Below autograd.
at::Tensor frozenForward(const at::Tensor& x, const at::Tensor& w, at::Tensor out = at::Tensor());

/// dOut w [m, k] for dOut [m, n] and w [n, k]; added to `sum` in place where that is defined. Below autograd.
at::Tensor frozenInputGradient(const at::Tensor& dOut, const at::Tensor& w, at::Tensor sum = at::Tensor());

}  // namespace qwen_pt

// LoRA's epilogues by the kernels of lora.cu. Below autograd.
#pragma once

#include <ATen/core/Tensor.h>

namespace qwen_pt {

constexpr int64_t kMostFusedRanks = 64;  // beyond, tensor cores are faster

/// Whether y [rows, width] of a dtype takes h b of `ranks` ranks in another by a kernel.
bool suitsFusedUpdate(const at::Tensor& y, int64_t ranks, at::ScalarType dtype);

/// y += scale h b in place, h [rows, ranks] with neighbouring ranks, b [ranks, width] of any strides. With a mask of y's
/// shape, what it leaves of h b.
void fusedUpdate(const at::Tensor& y, const at::Tensor& h, const at::Tensor& b, double scale,
                 const at::Tensor& mask = {});

/// Whether rows of a dtype, and what is dropped of them in another, have kernels.
bool suitsFusedDrop(const at::Tensor& x, at::ScalarType dtype);
/// x times the factor where the mask leaves it, else 0, in a dtype.
at::Tensor fusedDrop(const at::Tensor& x, const at::Tensor& mask, double factor, at::ScalarType dtype);

}  // namespace qwen_pt

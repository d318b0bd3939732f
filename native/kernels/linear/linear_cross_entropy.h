// What the ways of computing linear_cross_entropy share (linear_cross_entropy.cc, cuda/cross_entropy.cc).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace qwen_pt {

struct CrossEntropyRequest {
  const at::Tensor& hidden;
  const at::Tensor& weight;  // in the hidden states' dtype
  const at::Tensor& target;
  double scale;
  int64_t ignoreIndex;
  int64_t chunkBytes;
  bool frozen;  // whether the weight is not trained
};

struct CrossEntropyGradients {
  at::Tensor hidden;  // [rows, d], the hidden states' dtype
  at::Tensor weight;  // [vocabulary, d], float32 or wider: added to
};

/// Rows of a chunk: as many chunks as it takes for their logits, `bytesPerLogit` each, to fit the budget, all of about
/// one size, since each reads the whole weight.
int64_t rowsPerChunk(const CrossEntropyRequest& of, int64_t rows, int64_t bytesPerLogit);

/// table += dLogits^T x, some rows of the table at a time.
void addToTable(const at::Tensor& table, const at::Tensor& dLogits, const at::Tensor& x);

bool suitsFusedCrossEntropy(const CrossEntropyRequest& of);
/// Adds up sum(nll) * scale by the kernel of cuda/cross_entropy.cu, for what suits it.
at::Tensor fusedCrossEntropy(const CrossEntropyRequest& of, CrossEntropyGradients* gradients);

}  // namespace qwen_pt

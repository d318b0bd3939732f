// The head and its loss by the kernel of cross_entropy.cu: a chunk is a product, one launch that turns its logits into
// gradients in their place, and the products of the gradients. Nothing is read back: a label out of bounds makes the loss
// NaN. The operators are kernels/linear/linear_cross_entropy.cc's.

#include "accelerator/kernels.h"
#include "kernels/linear/linear_cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <string>

namespace qwen_pt {

using at::Tensor;

bool suitsFusedCrossEntropy(const CrossEntropyRequest& of) {
  return hasKernels(of.hidden) && !kernelSuffix(of.hidden.scalar_type()).empty() && of.hidden.size(0) > 0 &&
         of.weight.size(0) > 0;
}

Tensor fusedCrossEntropy(const CrossEntropyRequest& of, CrossEntropyGradients* gradients) {
  constexpr unsigned kThreads = 512;
  const Tensor labels = of.target.to(at::kLong).contiguous();
  const int64_t rows = of.hidden.size(0), classes = of.weight.size(0);
  const int64_t step = rowsPerChunk(of, rows, of.hidden.element_size());
  const Tensor memory = at::empty({std::min(step, rows), classes}, of.hidden.options());
  const Tensor losses = at::empty({rows}, of.hidden.options().dtype(at::kFloat));
  const std::string name =
      "cross_entropy_" + kernelSuffix(of.hidden.scalar_type()) + (isWide(classes, {memory}) ? "" : "_one");
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    const Tensor x = of.hidden.narrow(0, start, count);
    Tensor logits = memory.narrow(0, 0, count);
    at::mm_out(logits, x, of.weight.t());
    const Tensor label = labels.narrow(0, start, count), loss = losses.narrow(0, start, count);
    launch(x, "cross_entropy", name, Grid{static_cast<unsigned>(count), kThreads}, logits.data_ptr(),
           label.const_data_ptr(), loss.data_ptr(), classes, of.ignoreIndex, static_cast<float>(of.scale),
           static_cast<int>(gradients != nullptr));
    if (!gradients) continue;
    if (gradients->hidden.defined()) {
      Tensor into = gradients->hidden.narrow(0, start, count);
      at::mm_out(into, logits, of.weight);
    }
    if (gradients->weight.defined()) addToTable(gradients->weight, logits, x);
  }
  return losses.sum().mul_(of.scale);
}

}  // namespace qwen_pt

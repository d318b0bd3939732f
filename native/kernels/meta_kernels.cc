// Shapes of what libtorch's C++ computes on every device but `meta`: its Python has these as decompositions, and there
// is no Python here. With them the whole of a training step runs on meta, attention as a CUDA device has it included.
// Nothing is computed. A libtorch that has its own kernel keeps it.

#include <ATen/ExpandUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/result_type.h>
#include <torch/library.h>

#include <optional>
#include <string>

namespace qwen_pt {

namespace {

using at::Tensor;
using at::TensorList;
using torch::jit::Stack;

Tensor indexSelect(const Tensor& self, int64_t dim, const Tensor& index) {
  std::vector<int64_t> sizes = self.sizes().vec();
  if (!sizes.empty()) sizes[at::maybe_wrap_dim(dim, self.dim())] = index.numel();
  return at::empty(sizes, self.options());
}

Tensor embeddingBackward(const Tensor& grad, const Tensor&, c10::SymInt rows, c10::SymInt, bool) {
  return at::empty({rows.expect_int(), grad.size(-1)}, grad.options());
}

Tensor where(const Tensor& condition, const Tensor& self, const Tensor& other) {
  const auto sizes = at::infer_size(at::infer_size(condition.sizes(), self.sizes()), other.sizes());
  return at::empty(sizes, condition.options().dtype(at::result_type(self, other)));
}

void fusedAdamW(TensorList self, TensorList grads, TensorList averages, TensorList squares, TensorList,
                TensorList steps, double, double, double, double, double, bool, bool, const std::optional<Tensor>&,
                const std::optional<Tensor>&) {
  TORCH_CHECK(grads.size() == self.size() && averages.size() == self.size() && squares.size() == self.size() &&
                  steps.size() == self.size(),
              "_fused_adamw_ takes lists of one length");
  for (size_t i = 0; i < self.size(); ++i) {
    TORCH_CHECK(grads[i].sizes() == self[i].sizes() && averages[i].sizes() == self[i].sizes() &&
                    squares[i].sizes() == self[i].sizes() && steps[i].numel() == 1,
                "_fused_adamw_: parameter ", i, " and its state have other shapes");
  }
}

// Attention's signatures grow with libtorch's versions: these take their arguments from the stack.

c10::ArrayRef<c10::IValue> argumentsOf(const c10::OperatorHandle& op, const Stack& stack) {
  return c10::ArrayRef<c10::IValue>(stack).slice(stack.size() - op.schema().arguments().size());
}

void answer(const c10::OperatorHandle& op, Stack* stack, std::vector<c10::IValue> results) {
  torch::jit::drop(*stack, op.schema().arguments().size());
  for (auto& each : results) stack->push_back(std::move(each));
}

Tensor plain(const Tensor& like) { return at::empty(like.sizes(), like.options()); }

/// query [tokens, heads, dim], or [batch, seq, heads, dim] -> out, logsumexp [heads, tokens] or [batch, heads, seq], random state, unused, debug mask
void flashForward(const c10::OperatorHandle& op, Stack* stack) {
  const Tensor query = argumentsOf(op, *stack)[0].toTensor();
  TORCH_CHECK(query.element_size() == 2, "flash attention takes float16 and bfloat16, not ", query.scalar_type());
  const auto on = [&](at::ScalarType dtype, at::IntArrayRef sizes) {
    return at::empty(sizes, query.options().dtype(dtype));
  };
  std::vector<int64_t> sums{query.size(-2), query.size(-3)};
  if (query.dim() == 4) sums.insert(sums.begin(), query.size(0));
  answer(op, stack,
         {plain(query), on(at::kFloat, sums), on(at::kLong, {2}), on(at::kLong, {}), on(query.scalar_type(), {0})});
}

/// query [1, tokens, heads, dim], or [batch, seq, heads, dim] -> out, logsumexp, seed, offset, longest query, longest key
void efficientForward(const c10::OperatorHandle& op, Stack* stack) {
  const auto arguments = argumentsOf(op, *stack);
  const Tensor query = arguments[0].toTensor(), key = arguments[1].toTensor();
  TORCH_CHECK(query.size(2) == key.size(2), "memory-efficient attention has as many heads of keys as of queries");
  const int64_t sequences = arguments[4].isNone() ? query.size(0) : arguments[4].toTensor().size(0) - 1;
  const int64_t longest = arguments[6].isNone() ? query.size(1) : arguments[6].toInt();
  const auto on = [&](at::ScalarType dtype, at::IntArrayRef sizes) {
    return at::empty(sizes, query.options().dtype(dtype));
  };
  answer(op, stack,
         {plain(query), on(at::kFloat, {sequences, query.size(2), longest}), on(at::kLong, {}), on(at::kLong, {}),
          longest, longest});
}

/// dOut, query, key, value, ... -> their gradients; none for a bias
void attentionBackward(const c10::OperatorHandle& op, Stack* stack) {
  const auto arguments = argumentsOf(op, *stack);
  TORCH_CHECK(arguments[0].toTensor().sizes() == arguments[1].toTensor().sizes(),
              "a gradient of the result's shape is needed");
  std::vector<c10::IValue> results;
  for (size_t i = 1; i <= 3; ++i) results.emplace_back(plain(arguments[i].toTensor()));
  if (op.schema().returns().size() > 3) results.emplace_back(Tensor());
  answer(op, stack, std::move(results));
}

/// self [m, k] and mat2 [k, n], scales, bias, scale of the result, dtype
void scaledProduct(const c10::OperatorHandle& op, Stack* stack) {
  const auto arguments = argumentsOf(op, *stack);
  const Tensor self = arguments[0].toTensor(), mat2 = arguments[1].toTensor();
  TORCH_CHECK(self.dim() == 2 && mat2.dim() == 2 && self.size(1) == mat2.size(0), "_scaled_mm: ", self.sizes(), " and ",
              mat2.sizes(), " do not belong together");
  // what a card asks for
  TORCH_CHECK(self.size(1) % 16 == 0 && mat2.size(1) % 16 == 0 && self.stride(1) == 1 && mat2.stride(0) == 1,
              "_scaled_mm: rows, and columns that are multiples of 16, are needed, not ", self.sizes(), " and ",
              mat2.sizes());
  const auto dtype = arguments[6].toOptional<at::ScalarType>().value_or(self.scalar_type());
  answer(op, stack, {at::empty({self.size(0), mat2.size(1)}, self.options().dtype(dtype))});
}

bool isMissing(const std::string& name, const std::string& overload) {
  const auto op = c10::Dispatcher::singleton().findSchema({"aten::" + name, overload});
  return op && !op->hasKernelForDispatchKey(c10::DispatchKey::Meta);
}

template <class Kernel>
void fill(torch::Library& library, const std::string& name, Kernel&& kernel, const std::string& overload = "") {
  if (isMissing(name, overload))
    library.impl((overload.empty() ? name : name + "." + overload).c_str(), std::forward<Kernel>(kernel));
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  fill(library, "index_select", indexSelect);
  fill(library, "embedding_dense_backward", embeddingBackward);
  fill(library, "where", where, "self");
  fill(library, "_fused_adamw_", fusedAdamW);
  fill(library, "_scaled_mm", torch::CppFunction::makeFromBoxedFunction<scaledProduct>());
  fill(library, "_flash_attention_forward", torch::CppFunction::makeFromBoxedFunction<flashForward>());
  fill(library, "_flash_attention_backward", torch::CppFunction::makeFromBoxedFunction<attentionBackward>());
  fill(library, "_efficient_attention_forward", torch::CppFunction::makeFromBoxedFunction<efficientForward>());
  fill(library, "_efficient_attention_backward", torch::CppFunction::makeFromBoxedFunction<attentionBackward>());
}

}  // namespace qwen_pt

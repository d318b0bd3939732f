// The operands of causal attention, and the composite that every kernel is compared with.

#include "attention_operands.h"

#include "tensors/placement.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <cmath>

namespace qwen_pt {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

void checkAttention(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens) {
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4,
              "query, key and value must be [batch, seq, heads, dim], got ", query.sizes(), ", ", key.sizes(), " and ",
              value.sizes());
  TORCH_CHECK(key.sizes() == value.sizes() && key.size(0) == query.size(0) && key.size(1) == query.size(1) &&
                  key.size(3) == query.size(3) && key.size(2) > 0 && query.size(2) % key.size(2) == 0,
              "query ", query.sizes(), ", key ", key.sizes(), " and value ", value.sizes(), " do not belong together");
  TORCH_CHECK(query.scalar_type() == key.scalar_type() && query.scalar_type() == value.scalar_type(), "query is ",
              query.scalar_type(), ", key ", key.scalar_type(), " and value ", value.scalar_type());
  TORCH_CHECK(query.device() == key.device() && query.device() == value.device(), "query is on ", query.device(),
              ", key on ", key.device(), " and value on ", value.device());
  TORCH_CHECK(!cuSeqlens || (cuSeqlens->dim() == 1 && cuSeqlens->scalar_type() == at::kInt && cuSeqlens->numel() >= 2),
              "cu_seqlens must be int32 [documents + 1]");
}

double attentionScale(std::optional<double> scale, const Tensor& query) {
  return scale.value_or(1 / std::sqrt(static_cast<double>(query.size(3))));
}

std::vector<int64_t> documentBounds(const Tensor& query, const OptionalTensor& cuSeqlens,
                                    std::optional<int64_t> longest) {
  const int64_t tokens = query.size(0) * query.size(1);
  std::vector<int64_t> bounds{0};
  if (!cuSeqlens) {
    for (int64_t row = 1; row <= query.size(0); ++row) bounds.push_back(row * query.size(1));
    return bounds;
  }
  TORCH_CHECK(hasMemory(*cuSeqlens), "cu_seqlens is on meta: where the documents begin cannot be read");
  const Tensor starts = cuSeqlens->cpu().contiguous();
  const auto* start = starts.const_data_ptr<int32_t>();
  TORCH_CHECK(start[0] == 0 && start[starts.numel() - 1] == tokens, "cu_seqlens must lead from 0 to ", tokens,
              ", the number of tokens, not from ", start[0], " to ", start[starts.numel() - 1]);
  for (int64_t i = 1; i < starts.numel(); ++i) {
    TORCH_CHECK(start[i] >= start[i - 1], "cu_seqlens falls from ", start[i - 1], " to ", start[i]);
    TORCH_CHECK(!longest || start[i] - start[i - 1] <= *longest, "a document of ", start[i] - start[i - 1],
                " tokens is longer than longest says: ", longest.value_or(0));
    if (start[i] > start[i - 1]) bounds.push_back(start[i]);
  }
  return bounds;
}

Tensor attendRows(const Tensor& query, const Tensor& key, const Tensor& value, double scale) {
  return at::scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), {}, 0.0,
                                          /*is_causal=*/true, scale, query.size(2) != key.size(2))
      .transpose(1, 2);
}

Tensor compositeAttention(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& cuSeqlens,
                          std::optional<double> scale, std::optional<int64_t> longest) {
  checkAttention(query, key, value, cuSeqlens);
  if (!cuSeqlens) return attendRows(query, key, value, attentionScale(scale, query));
  const std::vector<int64_t> bounds = documentBounds(query, cuSeqlens, longest);
  const auto document = [](const Tensor& of, int64_t start, int64_t length) {
    return of.flatten(0, 1).narrow(0, start, length).unsqueeze(0);
  };
  std::vector<Tensor> outs;
  for (size_t i = 1; i < bounds.size(); ++i) {
    const int64_t start = bounds[i - 1], length = bounds[i] - start;
    outs.push_back(attendRows(document(query, start, length), document(key, start, length),
                              document(value, start, length), attentionScale(scale, query)));
  }
  return at::cat(outs, 1).view(query.sizes());
}

}  // namespace qwen_pt

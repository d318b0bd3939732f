// What every kind of causal attention (attention.cc, accelerator/attention.cc) asks of its operands, and the same by ATen
// operators alone, document by document.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace qwen_pt {

void checkAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const std::optional<at::Tensor>& cuSeqlens);

/// The given scale, or dim^-0.5.
double attentionScale(std::optional<double> scale, const at::Tensor& query);

/// Where each document starts, and the number of tokens; empty documents are left out.
std::vector<int64_t> documentBounds(const at::Tensor& query, const std::optional<at::Tensor>& cuSeqlens,
                                    std::optional<int64_t> longest);

at::Tensor attendRows(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, double scale);

at::Tensor compositeAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const std::optional<at::Tensor>& cuSeqlens, std::optional<double> scale,
                              std::optional<int64_t> longest);

/// The operators' signatures, for calls through the dispatcher.
using Attend = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                          std::optional<double>, std::optional<int64_t>);
using AttendAndKeep = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                         const std::optional<at::Tensor>&, std::optional<double>,
                                                         std::optional<int64_t>);
using AttendRecalled = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                  const at::Tensor&, const std::optional<at::Tensor>&, std::optional<double>,
                                  std::optional<int64_t>);

}  // namespace qwen_pt

// The names of element types and devices as JavaScript writes them: PyTorch's own, without the `torch.`.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace qwen_pt {

const char* dtypeName(at::ScalarType type);
at::ScalarType dtypeOf(const std::string& name);  // throws CodedError
at::Device deviceOf(const std::string& name);     // throws CodedError

}  // namespace qwen_pt

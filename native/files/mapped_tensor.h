// Tensors whose bytes are a mapped file's pages: nothing is read until it is touched, nothing is copied until it is
// written, and the mapping lives as long as the last tensor on it.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "file_mapping.h"

namespace qwen_pt {

// A tensor on `data`, which lies in `mapping`; a copy where `data` is not aligned for its type.
at::Tensor mappedTensor(std::shared_ptr<FileMapping> mapping, char* data, c10::IntArrayRef shape, at::ScalarType type);

// Whether the storage is a file's pages: memory that the kernel takes back by itself, so V8 is told nothing of it.
bool isMapped(const c10::Storage& storage);

}  // namespace qwen_pt

// The optional library that moves a card's tensors between processes, opened by name: interface.h says what it exports.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <string>

#include "cards/interface.h"

namespace c10d {
class Backend;
}

namespace qwen_pt {

// Opens it, once in a process. Gives the type of the devices whose tensors it moves; throws with the reason where it does
// not load, lacks a function, or was compiled for another libtorch.
std::string openCardLibrary(const std::string& path);

// What tells a card from every other one, on whatever machine.
std::string cardName(int index);

// A group of all ranks; blocks until they have come.
c10::intrusive_ptr<c10d::Backend> openCardBackend(const BackendRequest& request);

// Whether the library that is open moves a tensor: by the type of its device.
bool isOfCards(const at::Tensor& tensor);

}  // namespace qwen_pt

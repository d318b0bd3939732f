// What a Store is made of, for the one file that hands it to c10d. Slow to compile: nothing else includes it.
#pragma once

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace qwen_pt {

struct StoreParts {
  c10::intrusive_ptr<c10d::TCPStore> store;
};

}  // namespace qwen_pt

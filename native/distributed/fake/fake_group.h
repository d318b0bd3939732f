// A process group of which one process exists: c10d's FakeProcessGroup. Its collectives send nothing and answer at once, as
// if every rank had what this one has where they gather, and as if the others had nothing to add where they reduce.
#pragma once

#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

namespace qwen_pt {

c10::intrusive_ptr<c10d::Backend> fakeBackend(int rank, int size);

}  // namespace qwen_pt

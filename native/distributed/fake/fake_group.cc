#include "fake_group.h"

#include <torch/csrc/distributed/c10d/FakeProcessGroup.hpp>

namespace qwen_pt {

c10::intrusive_ptr<c10d::Backend> fakeBackend(int rank, int size) {
  return c10d::FakeProcessGroup::_create_internal(rank, size);
}

}  // namespace qwen_pt

// Causal attention over rows of which each rank of a group has a part: keys and values go around the group
// (Liu et al. 2023, arXiv:2310.01889). The operators are in ring_attention.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "group/group.h"

namespace qwen_pt {

// The number by which the operators know this group of ranks: `members` of the whole group, this one at `place`.
int64_t openRing(std::shared_ptr<Group> group, std::vector<int> members, int place);

}  // namespace qwen_pt

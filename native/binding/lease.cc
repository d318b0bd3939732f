#include "lease.h"

#include <atomic>

#include "errors.h"

namespace qwen_pt {

namespace {

std::atomic<Instance*> leaseOwner{nullptr};

}  // namespace

Lease::Lease(Instance& instance) : taken_(false) {
  Instance* expected = nullptr;
  if (leaseOwner.load(std::memory_order_relaxed) == &instance) return;
  if (!leaseOwner.compare_exchange_strong(expected, &instance)) {
    throw CodedError("ERR_LEASE",
                     "libtorch is in use by another thread (a train() that is still running?); "
                     "wait for it to end, or compute in the same thread");
  }
  taken_ = true;
}

Lease::~Lease() {
  if (taken_) leaseOwner.store(nullptr);
}

void Lease::hold(Instance& instance) {
  Lease lease(instance);  // throws where another thread has it
  lease.taken_ = false;
  leaseOwner.store(&instance);
}

void Lease::letGo(Instance& instance) {
  Instance* expected = &instance;
  leaseOwner.compare_exchange_strong(expected, nullptr);
}

bool Lease::heldByAnother(const Instance& instance) {
  Instance* owner = leaseOwner.load();
  return owner && owner != &instance;
}

}  // namespace qwen_pt

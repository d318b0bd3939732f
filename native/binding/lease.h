// The lease of libtorch: which thread of the process may drive it.
#pragma once

namespace qwen_pt {

struct Instance;

// One thread at a time drives libtorch: a second would bring a second OpenMP team and another grad mode.
// A call takes the lease for its own duration; a training run holds it from start to end.
class Lease {
 public:
  explicit Lease(Instance& instance);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  static void hold(Instance& instance);
  static void letGo(Instance& instance);
  static bool heldByAnother(const Instance& instance);

 private:
  bool taken_;
};

}  // namespace qwen_pt

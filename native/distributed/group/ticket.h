// The end of an operation for a thread that blocks until it has come: what a promise is to JavaScript's event loop.
#pragma once

#include <condition_variable>
#include <mutex>

#include "group/group.h"

namespace qwen_pt {

class Ticket {
 public:
  // From any thread, once.
  void end(const Ended& how) {
    const std::lock_guard lock(mutex_);
    how_ = how;
    isDone_ = true;
    changed_.notify_all();
  }

  // Blocks until then. What there is to follow is given once: it holds tensors.
  Ended wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return isDone_; });
    Ended how = how_;
    how_.follow = {};
    return how;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool isDone_ = false;
  Ended how_;
};

}  // namespace qwen_pt

// The end of an operation for a thread that blocks until it has come: what a promise is to JavaScript's event loop.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>

namespace qwen_pt {

class Ticket {
 public:
  // From any thread, once; an empty text where all went well.
  void end(const std::string& failure) {
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    isDone_ = true;
    changed_.notify_all();
  }

  // Blocks until then; gives the failure.
  std::string wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return isDone_; });
    return failure_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool isDone_ = false;
  std::string failure_;
};

}  // namespace qwen_pt

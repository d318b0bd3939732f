// What a Group is made of: two backends, a queue and the thread that works it off. For group.cc and parts.cc alone.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "group/group.h"

namespace qwen_pt {

struct Queued {
  Operation operation;
  Done done;
};

// A collective that a card has been asked for and that the host does not wait for.
struct UnderWay {
  std::string name;
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
};

struct GroupParts : std::enable_shared_from_this<GroupParts> {
  c10::intrusive_ptr<c10d::Backend> backend;  // the processor's tensors, and what the ranks compare
  c10::intrusive_ptr<c10d::Backend> cards;    // a card's; null where there is none
  int rank = 0;
  int size = 1;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Queued> queue;
  std::string waitingFor;
  std::string exchanging;   // the same of what passes a ring
  std::string onCard;       // the oldest that a card has not done
  std::string cardFailure;  // why the collectives of a card have failed
  int64_t count = 0;
  int pending = 0;  // sends and receives on their way
  bool closing = false;
  bool failed = false;
  std::thread thread;

  // The thread: works the queue off until the group closes.
  void run();
  // The exception in flight ends the use of this group.
  [[noreturn]] void breakOff();
  bool isOfCards(const Operation& operation) const;
  // Throws where a card's collectives have failed.
  void checkCards() const;

 private:
  void perform(const Operation& operation, const std::string& name, Ended& ended);
  void compare(const Operation& operation);
  void begin(const Operation& operation, const std::string& name, Ended& ended);
  void letGoOfDone();
  void waitForCards();

  std::deque<UnderWay> underWay;  // the thread's alone
};

}  // namespace qwen_pt

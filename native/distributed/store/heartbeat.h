// Signs of life between the ranks of a run, through the store. A thread of each rank leaves a new one every now and then
// and looks for those of the next rank; whoever finds a rank silent for too long tells all, and every rank ends itself,
// whatever it is in the middle of. It needs neither JavaScript nor a collective to go on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "store/store.h"

namespace qwen_pt {

struct HeartbeatSettings {
  StoreAddress address;
  int rank = 0;
  int size = 1;
  int64_t limitMs = 60'000;  // of silence
  // What this rank is in the middle of, for the last line; empty for nothing.
  std::function<std::string()> waitingFor;
};

struct HeartbeatParts;

class Heartbeat {
 public:
  explicit Heartbeat(HeartbeatSettings settings);
  ~Heartbeat();

  // After a collective failed: S and which ranks have gone silent, in words, or R and what a rank has reported; blocks
  // for some beats. Empty where all are alive.
  std::string silentRanks();
  // Tells the others why this rank ends; they end too, and rank 0 prints it for all.
  void report(const std::string& reason);
  // Whether some rank has asked that all stop; asked for by askToStop of any.
  bool stopAsked() const;
  void askToStop();
  // Says that this rank is done, and ends the threads; then waits until all ranks have said so, up to
  // `waitMs`: whoever keeps the store must.
  void leave(int64_t waitMs);

 private:
  std::shared_ptr<HeartbeatParts> parts_;
};

}  // namespace qwen_pt

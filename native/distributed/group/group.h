// Collectives over c10d's ProcessGroupGloo. They are queued in the order of the calls and run one after the other on a
// thread of the group; before each one the ranks compare what they are about to do, because gloo ends the process from
// its own thread where sizes differ, and NCCL waits for ever. Sends and receives are matched by their tag and do not wait
// in that queue.
//
// Tensors of a card go by another backend once there is one (joinCards), through the same queue. It only begins them: they
// run in the card's streams, and who needs a result makes the current stream wait for it (Ended::follow), not the host.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cards/stream_order.h"
#include "store/store.h"

namespace qwen_pt {

enum class Collective : int64_t { AllReduce, Broadcast, AllGather, ReduceScatter, Barrier, AllToAll, Exchange };

// How an operation ended, or on a card: began.
struct Ended {
  std::string failure;  // empty where all went well
  // When its elements began to move, once every rank had begun it, and when they had; steady_clock's nanoseconds. Both 0
  // where the host does not see it.
  int64_t began = 0;
  int64_t ended = 0;
  // What the thread that needs the result calls; throws where it did not come. Empty where there is nothing left to wait for.
  std::function<void()> follow;
};

// Called on a thread of the group.
using Done = std::function<void(const Ended&)>;

struct Operation {
  Collective kind = Collective::Barrier;
  at::Tensor tensor;  // reduced or broadcast in place; else what goes in
  at::Tensor output;
  int64_t reduction = 0;  // of c10d::ReduceOp
  int64_t root = 0;
  // Of an exchange: `tensor` goes to one rank and `output` comes from another.
  int to = 0;
  int from = 0;
  int tag = 0;
  std::shared_ptr<StreamOrder> order;  // of a card's tensors; set by start()
};

struct GroupParts;  // parts.h

class Group {
 public:
  // Connects every rank with every other. `hostname`: the address of this machine that others reach it by; empty for
  // the one that its name stands for.
  Group(Store& store, int rank, int size, int64_t timeoutMs, const std::string& hostname);
  // A group of which this process alone exists: c10d's FakeProcessGroup, whose collectives answer at once. For measuring
  // what a rank of many does by itself.
  Group(int rank, int size);
  ~Group();

  // From now on tensors of the library's devices go by its backend, of the card `index` on this rank. Blocks until every
  // rank has come.
  void joinCards(Store& store, int index, int64_t timeoutMs);
  // Whether the group moves a tensor: the processor's, and a card's once there is a backend for it.
  bool moves(const at::Tensor& tensor) const;

  void start(Operation operation, Done done);
  void send(at::Tensor tensor, int to, int tag, Done done);
  void receive(at::Tensor tensor, int from, int tag, Done done);
  // Starts to send one tensor and to receive another. The function blocks until both are done, and throws a CodedError.
  std::function<void()> pass(at::Tensor sent, int to, at::Tensor received, int from, int tag);
  // What the group is in the middle of: "all-reduce 12 of 5 float32"; empty for nothing.
  std::string waitingFor() const;
  // Ends the group once nothing is queued. Where an operation failed its parts are left to the end of the process:
  // c10d's destructor would wait for the whole timeout.
  void close();

 private:
  std::shared_ptr<GroupParts> parts_;
};

// Whether c10d's classes are laid out in this libtorch as they were when the addon was compiled: an empty text, or what
// differs. A group of one rank is built in guarded memory for that.
std::string layoutFault();

}  // namespace qwen_pt

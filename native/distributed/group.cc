#include "group.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "background.h"
#include "binding/errors.h"
#include "fake/fake_group.h"
#include "store/store_parts.h"

namespace qwen_pt {

namespace {

constexpr const char* kNames[] = {"all-reduce", "broadcast", "all-gather", "reduce-scatter", "barrier", "all-to-all"};

// What must be the same on every rank for an operation: its kind, reduction, root, dtype and number of elements.
constexpr int64_t kFacts = 5;

std::vector<int64_t> factsOf(const Operation& operation) {
  const bool hasTensor = operation.tensor.defined();
  return {static_cast<int64_t>(operation.kind), operation.reduction, operation.root,
          hasTensor ? static_cast<int64_t>(operation.tensor.scalar_type()) : 0,
          hasTensor ? operation.tensor.numel() : 0};
}

std::string describe(const int64_t* facts) {
  std::string text = kNames[facts[0]];
  if (static_cast<Collective>(facts[0]) == Collective::Barrier) return text;
  text += " of " + std::to_string(facts[4]) + " " + c10::toString(static_cast<at::ScalarType>(facts[3]));
  if (static_cast<Collective>(facts[0]) == Collective::Broadcast) text += " from rank " + std::to_string(facts[2]);
  return text;
}

struct Queued {
  Operation operation;
  Done done;
};

}  // namespace

struct GroupParts {
  c10::intrusive_ptr<c10d::Backend> backend;
  int rank = 0;
  int size = 1;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Queued> queue;
  std::string waitingFor;
  std::string exchanging;  // the same of what passes a ring
  int64_t count = 0;
  int pending = 0;  // sends and receives on their way
  bool closing = false;
  bool failed = false;
  std::thread thread;

  [[noreturn]] void breakOff();
  void run();
  void perform(const Operation& operation, Ended& ended);
  void compare(const Operation& operation);
  void startWork(const Operation& operation, c10::intrusive_ptr<c10d::Work>& work);
};

// The ranks' facts gathered; every rank sees the same, so all refuse together and the group stays as it was.
void GroupParts::compare(const Operation& operation) {
  const auto facts = factsOf(operation);
  auto mine = at::empty({kFacts}, at::kLong);
  std::copy(facts.begin(), facts.end(), mine.data_ptr<int64_t>());
  auto all = at::empty({size * kFacts}, at::kLong);
  backend->_allgather_base(all, mine)->wait();
  const int64_t* found = all.data_ptr<int64_t>();
  for (int other = 1; other < size; ++other) {
    if (std::equal(found, found + kFacts, found + other * kFacts)) continue;
    throw std::invalid_argument("the ranks do not agree on a collective: rank 0 has " + describe(found) + ", rank " +
                                std::to_string(other) + " " + describe(found + other * kFacts));
  }
}

void GroupParts::startWork(const Operation& operation, c10::intrusive_ptr<c10d::Work>& work) {
  std::vector<at::Tensor> tensors;
  if (operation.tensor.defined()) tensors.push_back(operation.tensor);
  switch (operation.kind) {
    case Collective::AllReduce: {
      c10d::AllreduceOptions options;
      options.reduceOp = static_cast<c10d::ReduceOp::RedOpType>(operation.reduction);
      work = backend->allreduce(tensors, options);
      break;
    }
    case Collective::Broadcast: {
      c10d::BroadcastOptions options;
      options.rootRank = operation.root;
      work = backend->broadcast(tensors, options);
      break;
    }
    case Collective::AllGather: {
      auto output = operation.output;
      work = backend->_allgather_base(output, tensors[0]);
      break;
    }
    case Collective::ReduceScatter: {
      c10d::ReduceScatterOptions options;
      options.reduceOp = static_cast<c10d::ReduceOp::RedOpType>(operation.reduction);
      auto output = operation.output;
      work = backend->_reduce_scatter_base(output, tensors[0], options);
      break;
    }
    case Collective::Barrier: work = backend->barrier(); break;
    case Collective::AllToAll: {
      auto output = operation.output;
      std::vector<int64_t> even;
      work = backend->alltoall_base(output, tensors[0], even, even);
      break;
    }
  }
}

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

void GroupParts::perform(const Operation& operation, Ended& ended) {
  compare(operation);
  ended.began = nowNs();
  c10::intrusive_ptr<c10d::Work> work;
  startWork(operation, work);
  work->wait();
  ended.ended = nowNs();
}

// The exception in flight ends the use of this group.
void GroupParts::breakOff() {
  const auto why = messageInFlight();
  const std::lock_guard lock(mutex);
  failed = true;
  throw CodedError("ERR_DISTRIBUTED", why);
}

void GroupParts::run() {
  for (;;) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return closing || !queue.empty(); });
    if (queue.empty()) return;
    Queued next = std::move(queue.front());
    queue.pop_front();
    waitingFor = std::to_string(++count) + ", " + describe(factsOf(next.operation).data());
    lock.unlock();
    Ended ended;
    bool isBroken = false;
    try {
      perform(next.operation, ended);
    } catch (const std::invalid_argument& error) {
      ended.failure = error.what();
    } catch (...) {
      ended.failure = messageInFlight();
      isBroken = true;
    }
    next.operation = {};
    lock.lock();
    if (isBroken) failed = true;
    else waitingFor.clear();  // of a failed one it is told later, by whoever says which rank is gone
    lock.unlock();
    next.done(ended);
  }
}

namespace {

std::atomic<int> openGroups{0};

// A group that was not closed has threads and sockets that libtorch's own end must not wait for, or meet half-way.
void leaveAtOnce(int status, void*) {
  if (openGroups > 0) _exit(status);
}

}  // namespace

Group::Group(Store& store, int rank, int size, int64_t timeoutMs, const std::string& hostname)
    : parts_(std::make_shared<GroupParts>()) {
  const std::chrono::milliseconds timeout(timeoutMs);
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(hostname.empty() ? c10d::ProcessGroupGloo::createDefaultDevice()
                                              : c10d::ProcessGroupGloo::createDeviceForHostname(hostname));
  static std::once_flag once;
  std::call_once(once, [] { on_exit(leaveAtOnce, nullptr); });
  parts_->rank = rank;
  parts_->size = size;
  auto prefixed = c10::make_intrusive<c10d::PrefixStore>(store.clientAddress().prefix + "gloo", store.parts().store);
  parts_->backend = c10::make_intrusive<c10d::ProcessGroupGloo>(prefixed, rank, size, std::move(options));
  parts_->thread = std::thread([parts = parts_.get()] { parts->run(); });
  ++openGroups;
}

Group::Group(int rank, int size) : parts_(std::make_shared<GroupParts>()) {
  parts_->rank = rank;
  parts_->size = size;
  parts_->backend = fakeBackend(rank, size);
  parts_->thread = std::thread([parts = parts_.get()] { parts->run(); });
  ++openGroups;
}

void Group::start(Operation operation, Done done) {
  const std::lock_guard lock(parts_->mutex);
  if (parts_->closing) throw std::runtime_error("the process group is closed");
  parts_->queue.push_back({std::move(operation), std::move(done)});
  parts_->changed.notify_all();
}

namespace {

// Waits for one message on a separate thread: other messages, and the collectives, go on meanwhile.
template <class Start>
void exchange(const std::shared_ptr<GroupParts>& parts, Start begin, Done done) {
  auto work = begin();
  {
    const std::lock_guard lock(parts->mutex);
    ++parts->pending;
  }
  std::thread([parts, work = std::move(work), done = std::move(done)]() mutable {
    std::string failure;
    try {
      work->wait();
    } catch (...) {
      failure = messageInFlight();
    }
    work.reset();
    {
      const std::lock_guard lock(parts->mutex);
      --parts->pending;
      if (!failure.empty()) parts->failed = true;
    }
    done({failure});
  }).detach();
}

}  // namespace

void Group::send(at::Tensor tensor, int to, int tag, Done done) {
  exchange(
      parts_,
      [&] {
        std::vector<at::Tensor> tensors{tensor};
        return parts_->backend->send(tensors, to, tag);
      },
      std::move(done));
}

void Group::receive(at::Tensor tensor, int from, int tag, Done done) {
  exchange(
      parts_,
      [&] {
        std::vector<at::Tensor> tensors{tensor};
        return parts_->backend->recv(tensors, from, tag);
      },
      std::move(done));
}

std::function<void()> Group::pass(at::Tensor sent, int to, at::Tensor received, int from, int tag) {
  std::vector<at::Tensor> out{sent}, in{received};
  const auto name = "part " + std::to_string(tag) + " of a row from rank " + std::to_string(from);
  try {
    auto arriving = parts_->backend->recv(in, from, tag);
    auto leaving = parts_->backend->send(out, to, tag);
    return [parts = parts_, arriving, leaving, in, out, name] {
      {
        const std::lock_guard lock(parts->mutex);
        parts->exchanging = name;
      }
      try {
        arriving->wait();
        leaving->wait();
      } catch (...) {
        parts->breakOff();
      }
      const std::lock_guard lock(parts->mutex);
      parts->exchanging.clear();
    };
  } catch (...) {
    parts_->breakOff();
  }
}

std::string Group::waitingFor() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->waitingFor.empty() ? parts_->exchanging : "collective " + parts_->waitingFor;
}

void Group::close() {
  {
    const std::lock_guard lock(parts_->mutex);
    if (parts_->closing) return;
    parts_->closing = true;
    parts_->changed.notify_all();
  }
  parts_->thread.join();
  const std::lock_guard lock(parts_->mutex);
  if (parts_->failed || parts_->pending > 0) {
    parts_->backend.release();
    return;
  }
  parts_->backend.reset();
  --openGroups;
}

Group::~Group() {
  const std::lock_guard lock(parts_->mutex);
  if (parts_->closing) return;
  // The process ends without close(): nothing may wait, so everything stays where it is.
  new std::shared_ptr<GroupParts>(parts_);
}

}  // namespace qwen_pt

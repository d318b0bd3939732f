#include "group/parts.h"

#include <ATen/ops/empty.h>

#include <chrono>
#include <stdexcept>
#include <utility>

#include "background.h"
#include "binding/errors.h"
#include "cards/library.h"

namespace qwen_pt {

namespace {

using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;
using std::chrono::milliseconds;

constexpr const char* kNames[] = {"all-reduce", "broadcast",  "all-gather",   "reduce-scatter",
                                  "barrier",    "all-to-all", "part of a row"};
/// How often what a card does is looked at, and how long a group that closes waits for it.
constexpr milliseconds kLook(50);
constexpr milliseconds kMostToClose(10'000);

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

// Both ways at once, where the backend can: NCCL does one after the other of what is not in one call, and two ranks that
// both receive first would wait for each other.
Works exchange(c10d::Backend& backend, const Operation& operation) {
  std::vector<at::Tensor> out{operation.tensor}, in{operation.output};
  if (!backend.supportsCoalescing()) {
    auto arriving = backend.recv(in, operation.from, operation.tag);
    return {arriving, backend.send(out, operation.to, operation.tag)};
  }
  backend.startCoalescing();
  backend.recv(in, operation.from, operation.tag);
  backend.send(out, operation.to, operation.tag);
  return {backend.endCoalescing()};
}

Works startWork(c10d::Backend& backend, const Operation& operation) {
  std::vector<at::Tensor> tensors;
  if (operation.tensor.defined()) tensors.push_back(operation.tensor);
  auto output = operation.output;
  const auto reduction = static_cast<c10d::ReduceOp::RedOpType>(operation.reduction);
  switch (operation.kind) {
    case Collective::AllReduce: {
      c10d::AllreduceOptions options;
      options.reduceOp = reduction;
      return {backend.allreduce(tensors, options)};
    }
    case Collective::Broadcast: {
      c10d::BroadcastOptions options;
      options.rootRank = operation.root;
      return {backend.broadcast(tensors, options)};
    }
    case Collective::AllGather: return {backend._allgather_base(output, tensors[0])};
    case Collective::ReduceScatter: {
      c10d::ReduceScatterOptions options;
      options.reduceOp = reduction;
      return {backend._reduce_scatter_base(output, tensors[0], options)};
    }
    case Collective::Barrier: return {backend.barrier()};
    case Collective::AllToAll: {
      std::vector<int64_t> even;
      return {backend.alltoall_base(output, tensors[0], even, even)};
    }
    case Collective::Exchange: return exchange(backend, operation);
  }
  throw std::invalid_argument("there is no such collective");
}

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

}  // namespace

bool GroupParts::isOfCards(const Operation& operation) const {
  return cards && operation.tensor.defined() && qwen_pt::isOfCards(operation.tensor);
}

void GroupParts::checkCards() const {
  const std::lock_guard lock(mutex);
  if (!cardFailure.empty()) throw CodedError("ERR_DISTRIBUTED", cardFailure);
}

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

void GroupParts::perform(const Operation& operation, const std::string& name, Ended& ended) {
  // what passes a ring may be of another length in every group of ranks
  if (operation.kind != Collective::Exchange) compare(operation);
  if (isOfCards(operation)) return begin(operation, name, ended);
  ended.began = nowNs();
  for (const auto& work : startWork(*backend, operation)) work->wait();
  ended.ended = nowNs();
}

void GroupParts::begin(const Operation& operation, const std::string& name, Ended& ended) {
  checkCards();
  Works works;
  const auto start = [&] { works = startWork(*cards, operation); };
  if (operation.order != nullptr) operation.order->after(start);
  else start();
  // The tensors stay alive until the caller has made its stream wait: later uses of their memory come after that.
  ended.follow = [parts = shared_from_this(), works, held = std::pair(operation.tensor, operation.output)] {
    parts->checkCards();
    try {
      for (const auto& work : works) work->wait();
    } catch (...) {
      parts->breakOff();
    }
  };
  underWay.push_back({name, std::move(works)});
}

void GroupParts::letGoOfDone() {
  try {
    while (!underWay.empty()) {
      for (const auto& work : underWay.front().works) {
        const bool isDone = work->isCompleted();
        if (const auto failure = work->exception()) std::rethrow_exception(failure);
        if (!isDone) return;
      }
      underWay.pop_front();
      const std::lock_guard lock(mutex);
      onCard = underWay.empty() ? "" : underWay.front().name;
    }
  } catch (...) {
    const auto why = messageInFlight();
    underWay.clear();
    {
      const std::lock_guard lock(mutex);
      cardFailure = onCard + ": " + why;
      failed = true;
    }
    // a kernel that waits for a rank that is gone would hold whoever waits for the card
    cards->abort();
  }
}

void GroupParts::waitForCards() {
  const auto start = std::chrono::steady_clock::now();
  for (letGoOfDone(); !underWay.empty(); letGoOfDone()) {
    if (std::chrono::steady_clock::now() - start > kMostToClose) {
      const std::lock_guard lock(mutex);
      failed = true;
      return;
    }
    std::this_thread::sleep_for(milliseconds(2));
  }
}

void GroupParts::breakOff() {
  const auto why = messageInFlight();
  const std::lock_guard lock(mutex);
  failed = true;
  throw CodedError("ERR_DISTRIBUTED", why);
}

void GroupParts::run() {
  for (;;) {
    std::unique_lock lock(mutex);
    const auto hasTurn = [&] { return closing || !queue.empty(); };
    if (underWay.empty()) {
      changed.wait(lock, hasTurn);
    } else if (!changed.wait_for(lock, kLook, hasTurn)) {
      lock.unlock();
      letGoOfDone();
      continue;
    }
    if (queue.empty()) {
      lock.unlock();
      return waitForCards();
    }
    Queued next = std::move(queue.front());
    queue.pop_front();
    const auto name = std::to_string(++count) + ", " + describe(factsOf(next.operation).data());
    waitingFor = name;
    lock.unlock();
    letGoOfDone();
    Ended ended;
    bool isBroken = false;
    try {
      perform(next.operation, name, ended);
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
    if (!underWay.empty()) onCard = underWay.front().name;
    lock.unlock();
    next.done(ended);
  }
}

}  // namespace qwen_pt

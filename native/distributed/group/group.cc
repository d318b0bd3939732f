#include "group/group.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "background.h"
#include "binding/errors.h"
#include "cards/library.h"
#include "fake/fake_group.h"
#include "group/parts.h"
#include "group/ticket.h"
#include "store/store_parts.h"
#include "tensors/placement.h"

namespace qwen_pt {

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

void Group::joinCards(Store& store, int index, int64_t timeoutMs) {
  const c10::intrusive_ptr<c10d::Store> prefixed =
      c10::make_intrusive<c10d::PrefixStore>(store.clientAddress().prefix + "cards", store.parts().store);
  auto made = openCardBackend({&prefixed, parts_->rank, parts_->size, timeoutMs, index});
  const std::lock_guard lock(parts_->mutex);
  parts_->cards = std::move(made);
}

bool Group::moves(const at::Tensor& tensor) const { return isOnHost(tensor) || (parts_->cards && isOfCards(tensor)); }

void Group::start(Operation operation, Done done) {
  operation.order = StreamOrder::of(operation.tensor);
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
  Operation operation;
  operation.kind = Collective::Exchange;
  operation.tensor = sent;
  operation.output = received;
  operation.to = to;
  operation.from = from;
  operation.tag = tag;
  // among a card's collectives it has a place, the same on every rank
  if (parts_->isOfCards(operation)) {
    const auto ticket = std::make_shared<Ticket>();
    start(std::move(operation), [ticket](const Ended& end) { ticket->end(end); });
    return [ticket] {
      const auto end = ticket->wait();
      if (!end.failure.empty()) throw CodedError("ERR_DISTRIBUTED", end.failure);
      if (end.follow) end.follow();
    };
  }
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
  if (!parts_->waitingFor.empty()) return "collective " + parts_->waitingFor;
  return parts_->onCard.empty() ? parts_->exchanging : "collective " + parts_->onCard;
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
    parts_->cards.release();
    return;
  }
  if (parts_->cards) parts_->cards->shutdown();
  parts_->cards.reset();
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

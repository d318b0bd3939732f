// In place of NCCL, where there is no card: a library that exports what native/distributed/cards/interface.h says and moves
// tensors by Gloo, or for tensors on meta, which have no elements, not at all. As NCCL it takes calls from one thread
// only, sends and receives only together, and does not say of itself that it has no reduce-scatter.
//
//   STAND_IN_DEVICE    the type of the devices whose tensors it moves: cpu, or meta
//   STAND_IN_CARD      what it tells of this rank's card; "!..." for a card that cannot be used
//   STAND_IN_LIBTORCH  the version that it says it was compiled for
//   STAND_IN_LOG       a file that gets a line for each call
#include <torch/headeronly/version.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torch/csrc/distributed/c10d/FakeProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "cards/interface.h"

namespace {

using c10::intrusive_ptr;
using Tensors = std::vector<at::Tensor>;
using WorkPointer = intrusive_ptr<c10d::Work>;

std::string variable(const char* name, const char* otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != 0 ? text : otherwise;
}

struct Together : c10d::Work {
  explicit Together(std::vector<WorkPointer> works) : works(std::move(works)) {}
  bool wait(std::chrono::milliseconds timeout) override {
    for (const auto& work : works) work->wait(timeout);
    return true;
  }
  bool isCompleted() override {
    for (const auto& work : works)
      if (!work->isCompleted()) return false;
    return true;
  }
  std::exception_ptr exception() const override {
    for (const auto& work : works)
      if (const auto found = work->exception()) return found;
    return nullptr;
  }
  std::vector<WorkPointer> works;
};

class StandIn : public c10d::Backend {
 public:
  StandIn(intrusive_ptr<c10d::Backend> inner, const qwen_pt::BackendRequest& request)
      : Backend(request.rank, request.size), inner_(std::move(inner)) {
    log("open, " + std::to_string(request.timeoutMs) + " ms");
  }

  const std::string getBackendName() const override { return "stand-in"; }
  bool supportsCoalescing() const override { return true; }
  void startCoalescing() override {
    called("startCoalescing", {});
    isTogether_ = true;
  }
  WorkPointer endCoalescing() override {
    isTogether_ = false;
    return c10::make_intrusive<Together>(std::exchange(together_, {}));
  }
  WorkPointer allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    called("allreduce", tensors[0]);
    return inner_->allreduce(tensors, options);
  }
  WorkPointer broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    called("broadcast", tensors[0]);
    return inner_->broadcast(tensors, options);
  }
  WorkPointer _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& options) override {
    called("allgather", input);
    return inner_->_allgather_base(output, input, options);
  }
  WorkPointer _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                   const c10d::ReduceScatterOptions& options) override {
    called("reduce_scatter", input);
    return inner_->_reduce_scatter_base(output, input, options);
  }
  WorkPointer alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& out, std::vector<int64_t>& in,
                            const c10d::AllToAllOptions& options) override {
    called("alltoall", input);
    return inner_->alltoall_base(output, input, out, in, options);
  }
  WorkPointer send(Tensors& tensors, int to, int tag) override {
    called("send", tensors[0]);
    return message(inner_->send(tensors, to, tag));
  }
  WorkPointer recv(Tensors& tensors, int from, int tag) override {
    called("recv", tensors[0]);
    return message(inner_->recv(tensors, from, tag));
  }
  void abort() override { called("abort", {}); }
  void shutdown() override {}

 private:
  void called(const char* name, const at::Tensor& tensor) {
    if (caller_ == std::thread::id()) caller_ = std::this_thread::get_id();
    TORCH_CHECK(caller_ == std::this_thread::get_id(), "stand-in: called from a second thread");
    const auto of =
        tensor.defined() ? std::string(" ") + c10::toString(tensor.scalar_type()) + " " + std::to_string(tensor.numel())
                         : "";
    log(name + of);
  }
  static void log(const std::string& line) {
    const auto file = variable("STAND_IN_LOG", "");
    if (!file.empty()) std::ofstream(file, std::ios::app) << line << "\n";
  }
  WorkPointer message(WorkPointer work) {
    TORCH_CHECK(isTogether_, "stand-in: a send or a receive by itself, which NCCL does one after the other");
    together_.push_back(work);
    return work;
  }

  intrusive_ptr<c10d::Backend> inner_;
  bool isTogether_ = false;
  std::vector<WorkPointer> together_;
  std::thread::id caller_;
};

template <typename Body>
int guarded(char* error, Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception& thrown) {
    std::snprintf(error, qwen_pt::kMostText, "%s", thrown.what());
    return 1;
  }
}

}  // namespace

extern "C" const char* qwen_pt_backend_libtorch() {
  static const std::string version = variable("STAND_IN_LIBTORCH", TORCH_VERSION);
  return version.c_str();
}

extern "C" const char* qwen_pt_backend_device() {
  static const std::string device = variable("STAND_IN_DEVICE", "cpu");
  return device.c_str();
}

extern "C" int qwen_pt_backend_card(int index, char* card, char* error) {
  return guarded(error, [&] {
    const auto told = variable("STAND_IN_CARD", ("card-" + variable("RANK", "0")).c_str());
    if (told[0] == '!') throw std::runtime_error(told.substr(1));
    std::snprintf(card, qwen_pt::kMostText, "%s", told.c_str());
  });
}

extern "C" int qwen_pt_backend_open(const qwen_pt::BackendRequest* request, void* made, char* error) {
  return guarded(error, [&] {
    intrusive_ptr<c10d::Backend> inner;
    if (variable("STAND_IN_DEVICE", "cpu") == "meta") {
      inner = c10d::FakeProcessGroup::_create_internal(request->rank, request->size);
    } else {
      auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::milliseconds(request->timeoutMs));
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
      const auto& store = *static_cast<const intrusive_ptr<c10d::Store>*>(request->store);
      inner = c10::make_intrusive<c10d::ProcessGroupGloo>(store, request->rank, request->size, std::move(options));
    }
    *static_cast<intrusive_ptr<c10d::Backend>*>(made) =
        c10::make_intrusive<StandIn>(std::move(inner), *request);
  });
}

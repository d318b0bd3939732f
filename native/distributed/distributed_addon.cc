// The entry of qwen_pt_distributed.node: what several processes tell each other. It is loaded only where there are
// several, after the addon whose tensors it takes (binding/handle.h), and changes nothing but what is in them.
#include <napi.h>

#include <c10/util/Flags.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "background.h"
#include "binding/handle.h"
#include "cards/library.h"
#include "group/group.h"
#include "group/ticket.h"
#include "ring_attention.h"
#include "storage.h"
#include "store/heartbeat.h"
#include "store/store.h"
#include "tensors/placement.h"

C10_DECLARE_int(caffe2_log_level);

namespace {

using qwen_pt::Group;
using qwen_pt::Heartbeat;
using qwen_pt::inBackground;
using qwen_pt::Settlement;
using qwen_pt::Store;
using qwen_pt::Ticket;
using std::shared_ptr;

template <class T>
using External = Napi::External<shared_ptr<T>>;

template <class T>
shared_ptr<T> held(const Napi::Value& value) {
  if (!value.IsExternal()) throw Napi::TypeError::New(value.Env(), "a handle of this addon is expected");
  return *value.As<External<T>>().Data();
}

template <class T>
Settlement::Value giving(shared_ptr<T> thing) {
  return [thing](Napi::Env env) -> Napi::Value {
    return External<T>::New(env, new shared_ptr<T>(thing), [](Napi::Env, shared_ptr<T>* held) { delete held; });
  };
}

Settlement::Value givingText(std::string text) {
  return [text](Napi::Env env) -> Napi::Value { return Napi::String::New(env, text); };
}

std::string text(const Napi::Value& value) { return value.As<Napi::String>().Utf8Value(); }
int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

// openStore(host, port, serves, timeoutMs, prefix) -> promise of a store
Napi::Value openStore(const Napi::CallbackInfo& info) {
  qwen_pt::StoreAddress address{text(info[0]), static_cast<uint16_t>(integer(info[1])),
                                info[2].As<Napi::Boolean>().Value(), integer(info[3]), text(info[4])};
  return inBackground(info.Env(), [address] { return giving(std::make_shared<Store>(address)); });
}

// storePort(store) -> the port that is in use
Napi::Value storePort(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), held<Store>(info[0])->clientAddress().port);
}

// storeSet(store, key, value) -> promise
Napi::Value storeSet(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [store = held<Store>(info[0]), key = text(info[1]), value = text(info[2])] {
    store->set(key, value);
    return Settlement::Value();
  });
}

// storeAdd(store, key, amount) -> promise of the sum
Napi::Value storeAdd(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [store = held<Store>(info[0]), key = text(info[1]), amount = integer(info[2])] {
    const auto sum = static_cast<double>(store->add(key, amount));
    return Settlement::Value([sum](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, sum); });
  });
}

// storeGet(store, key) -> promise of the value, or of undefined where there is none yet
Napi::Value storeGet(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [store = held<Store>(info[0]), key = text(info[1])] {
    std::string value;
    return store->get(key, value) ? givingText(value) : Settlement::Value();
  });
}

// joinGroup(store, rank, size, timeoutMs, hostname) -> promise of a group, once all ranks are connected
Napi::Value joinGroup(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [store = held<Store>(info[0]), rank = integer(info[1]), size = integer(info[2]),
                                   timeoutMs = integer(info[3]), hostname = text(info[4])] {
    return giving(std::make_shared<Group>(*store, static_cast<int>(rank), static_cast<int>(size), timeoutMs, hostname));
  });
}

// joinFakeGroup(rank, size) -> a group whose collectives answer at once
Napi::Value joinFakeGroup(const Napi::CallbackInfo& info) {
  const auto [rank, size] = std::pair(static_cast<int>(integer(info[0])), static_cast<int>(integer(info[1])));
  return giving(std::make_shared<Group>(rank, size))(info.Env());
}

// openCards(path) -> the type of the devices whose tensors the library moves; throws with the code ERR_DISTRIBUTED
Napi::Value openCards(const Napi::CallbackInfo& info) {
  try {
    return Napi::String::New(info.Env(), qwen_pt::openCardLibrary(text(info[0])));
  } catch (...) {
    throw qwen_pt::failure(info.Env(), qwen_pt::messageInFlight());
  }
}

// cardName(index) -> promise of what tells the card from every other one
Napi::Value cardName(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(),
                      [index = static_cast<int>(integer(info[0]))] { return givingText(qwen_pt::cardName(index)); });
}

// joinCards(group, store, index, timeoutMs) -> promise, once the cards of all ranks are connected
Napi::Value joinCards(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [group = held<Group>(info[0]), store = held<Store>(info[1]),
                                   index = static_cast<int>(integer(info[2])), timeoutMs = integer(info[3])] {
    group->joinCards(*store, index, timeoutMs);
    return Settlement::Value();
  });
}

// The tensor behind a handle of the other addon.
const at::Tensor& tensorBehind(const Napi::Value& value) {
  void* data = nullptr;
  const bool isExternal = napi_get_value_external(value.Env(), value, &data) == napi_ok && data != nullptr;
  auto* handle = isExternal ? static_cast<qwen_pt::Handle*>(data) : nullptr;
  if (handle == nullptr || handle->kind != qwen_pt::HandleKind::Tensor || !handle->tensor.defined())
    throw Napi::TypeError::New(value.Env(), "a tensor is expected that was not disposed of");
  return handle->tensor;
}

// The same as a collective takes it, where `isMoved` says that its device will do.
at::Tensor flatTensor(const Napi::Value& value, bool isMoved) {
  const at::Tensor& tensor = tensorBehind(value);
  if (!isMoved || !tensor.is_contiguous() || tensor.layout() != at::kStrided)
    throw Napi::TypeError::New(value.Env(),
                               "a collective takes contiguous tensors on the CPU, or of the cards that "
                               "the group was joined with");
  return tensor.detach().view({-1});  // gloo compares shapes; what counts here is the number of elements
}

at::Tensor tensorOf(const Group& group, const Napi::Value& value) {
  return flatTensor(value, group.moves(tensorBehind(value)));
}

// A message's: NCCL knows no tags.
at::Tensor hostTensor(const Napi::Value& value) { return flatTensor(value, qwen_pt::isOnHost(tensorBehind(value))); }

// [began, ended] in milliseconds, once this thread's work on a card will wait for the result
Settlement::Value givingTimes(const qwen_pt::Ended& end) {
  return [began = end.began, ended = end.ended, follow = end.follow](Napi::Env env) -> Napi::Value {
    if (follow) follow();
    auto times = Napi::Array::New(env, 2);
    times[0u] = Napi::Number::New(env, static_cast<double>(began) / 1e6);
    times[1u] = Napi::Number::New(env, static_cast<double>(ended) / 1e6);
    return times;
  };
}

std::pair<Napi::Value, qwen_pt::Done> promised(Napi::Env env) {
  auto settlement = std::make_shared<Settlement>(env);
  return {settlement->promise(), [settlement](const qwen_pt::Ended& end) {
            if (end.failure.empty()) settlement->resolve(givingTimes(end));
            else settlement->reject(end.failure);
          }};
}

// An operation from (group, kind, tensor, output, reduction, root); what a kind lacks is null.
qwen_pt::Operation operationOf(const Napi::CallbackInfo& info) {
  qwen_pt::Operation operation;
  const auto group = held<Group>(info[0]);
  operation.kind = static_cast<qwen_pt::Collective>(integer(info[1]));
  if (!info[2].IsNull()) operation.tensor = tensorOf(*group, info[2]);
  if (!info[3].IsNull()) operation.output = tensorOf(*group, info[3]);
  operation.reduction = integer(info[4]);
  operation.root = integer(info[5]);
  return operation;
}

// collective(group, kind, tensor, output, reduction, root) -> promise of the times between which its elements moved
Napi::Value collective(const Napi::CallbackInfo& info) {
  auto operation = operationOf(info);
  auto [promise, done] = promised(info.Env());
  held<Group>(info[0])->start(std::move(operation), std::move(done));
  return promise;
}

// begin(group, kind, tensor, output, reduction, root) -> a ticket, for a thread that will wait where it needs the result
Napi::Value begin(const Napi::CallbackInfo& info) {
  const auto ticket = std::make_shared<Ticket>();
  held<Group>(info[0])->start(operationOf(info), [ticket](const qwen_pt::Ended& end) { ticket->end(end); });
  return giving(ticket)(info.Env());
}

// await(ticket) -> the times between which its elements moved. Blocks this thread until the operation is done, or has begun
// on a card, for whose work it is done from then on; throws with the code ERR_DISTRIBUTED
Napi::Value await(const Napi::CallbackInfo& info) {
  const auto end = held<Ticket>(info[0])->wait();
  if (!end.failure.empty()) throw qwen_pt::failure(info.Env(), end.failure);
  try {
    return givingTimes(end)(info.Env());
  } catch (...) {
    throw qwen_pt::failure(info.Env(), qwen_pt::messageInFlight());
  }
}

// releaseMemory(tensor): of its storage, and so of every view of it, the memory alone goes
void releaseMemory(const Napi::CallbackInfo& info) { qwen_pt::releaseMemory(tensorBehind(info[0])); }

// restoreMemory(tensor): as much memory as it had, with nothing in it
void restoreMemory(const Napi::CallbackInfo& info) { qwen_pt::restoreMemory(tensorBehind(info[0])); }

// send(group, tensor, to, tag) -> promise, once the receiver has it
Napi::Value send(const Napi::CallbackInfo& info) {
  auto [promise, done] = promised(info.Env());
  held<Group>(info[0])->send(hostTensor(info[1]), integer(info[2]), integer(info[3]), std::move(done));
  return promise;
}

// receive(group, tensor, from, tag) -> promise, once the tensor is filled
Napi::Value receive(const Napi::CallbackInfo& info) {
  auto [promise, done] = promised(info.Env());
  held<Group>(info[0])->receive(hostTensor(info[1]), integer(info[2]), integer(info[3]), std::move(done));
  return promise;
}

// openRing(group, ranks, place) -> the number by which qwen_pt::ring_attention knows it; this rank is `place` of them
Napi::Value openRing(const Napi::CallbackInfo& info) {
  const auto ranks = info[1].As<Napi::Array>();
  std::vector<int> members(ranks.Length());
  for (uint32_t i = 0; i < members.size(); ++i) members[i] = static_cast<int>(integer(ranks.Get(i)));
  const auto number = qwen_pt::openRing(held<Group>(info[0]), std::move(members), static_cast<int>(integer(info[2])));
  return Napi::Number::New(info.Env(), static_cast<double>(number));
}

// waitingFor(group) -> what the group is in the middle of, or ""
Napi::Value waitingFor(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), held<Group>(info[0])->waitingFor());
}

// closeGroup(group) -> promise
Napi::Value closeGroup(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [group = held<Group>(info[0])] {
    group->close();
    return Settlement::Value();
  });
}

// startHeartbeat(store, group, rank, size, limitMs) -> promise of a heartbeat
Napi::Value startHeartbeat(const Napi::CallbackInfo& info) {
  qwen_pt::HeartbeatSettings settings;
  settings.address = held<Store>(info[0])->clientAddress();
  const std::weak_ptr<Group> group = held<Group>(info[1]);
  settings.rank = static_cast<int>(integer(info[2]));
  settings.size = static_cast<int>(integer(info[3]));
  settings.limitMs = integer(info[4]);
  settings.waitingFor = [group] {
    const auto found = group.lock();
    return found == nullptr ? std::string() : found->waitingFor();
  };
  return inBackground(info.Env(), [settings] { return giving(std::make_shared<Heartbeat>(settings)); });
}

// silentRanks(heartbeat) -> promise of words
Napi::Value silentRanks(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(),
                      [heartbeat = held<Heartbeat>(info[0])] { return givingText(heartbeat->silentRanks()); });
}

// reportFault(heartbeat, reason) -> promise
Napi::Value reportFault(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [heartbeat = held<Heartbeat>(info[0]), reason = text(info[1])] {
    heartbeat->report(reason);
    return Settlement::Value();
  });
}

// stopAsked(heartbeat) -> boolean
Napi::Value stopAsked(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), held<Heartbeat>(info[0])->stopAsked());
}

// askToStop(heartbeat)
void askToStop(const Napi::CallbackInfo& info) { held<Heartbeat>(info[0])->askToStop(); }

// leave(heartbeat, waitMs) -> promise
Napi::Value leave(const Napi::CallbackInfo& info) {
  return inBackground(info.Env(), [heartbeat = held<Heartbeat>(info[0]), waitMs = integer(info[1])] {
    heartbeat->leave(waitMs);
    return Settlement::Value();
  });
}

// layoutFault() -> "" or what differs
Napi::Value layoutFault(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), qwen_pt::layoutFault());
}

// c10d warns of hosts whose names it cannot find, on standard error, where one line says what is wrong with a run.
void quieten() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = 2;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  quieten();
  const auto add = [&](const char* name, auto function) { exports.Set(name, Napi::Function::New(env, function)); };
  add("openStore", openStore);
  add("storePort", storePort);
  add("storeSet", storeSet);
  add("storeAdd", storeAdd);
  add("storeGet", storeGet);
  add("joinGroup", joinGroup);
  add("joinFakeGroup", joinFakeGroup);
  add("openCards", openCards);
  add("cardName", cardName);
  add("joinCards", joinCards);
  add("collective", collective);
  add("begin", begin);
  add("await", await);
  add("releaseMemory", releaseMemory);
  add("restoreMemory", restoreMemory);
  add("send", send);
  add("receive", receive);
  add("openRing", openRing);
  add("waitingFor", waitingFor);
  add("closeGroup", closeGroup);
  add("startHeartbeat", startHeartbeat);
  add("silentRanks", silentRanks);
  add("reportFault", reportFault);
  add("stopAsked", stopAsked);
  add("askToStop", askToStop);
  add("leave", leave);
  add("layoutFault", layoutFault);
  return exports;
}

}  // namespace

NODE_API_MODULE(qwen_pt_distributed, initialize)

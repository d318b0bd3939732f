#include "background.h"

#include <c10/util/Exception.h>

#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace qwen_pt {

namespace {

std::string firstLine(std::string text) {
  const auto end = text.find('\n');
  if (end != std::string::npos) text.resize(end);
  return text;
}

}  // namespace

std::string messageInFlight() {
  try {
    throw;
  } catch (const c10::Error& error) {
    return firstLine(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return firstLine(error.what());
  } catch (...) {
    return "an unknown C++ exception";
  }
}

Napi::Error failure(Napi::Env env, const std::string& message) {
  auto error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, "ERR_DISTRIBUTED"));
  return error;
}

// The way into JavaScript's thread. Node frees the function as its environment ends, whoever still holds it: another
// thread uses it under the mutex only, and only until that time has come.
struct Settlement::Door {
  explicit Door(Napi::Env env)
      : env(env), function(Napi::ThreadSafeFunction::New(env, Napi::Function(), "qwen_pt_distributed", 0, 1)) {}

  // After the function's own hook was added: hooks run in the reverse order.
  static void watch(const std::shared_ptr<Door>& door) {
    door->self = door;
    if (napi_add_env_cleanup_hook(door->env, environmentEnds, door.get()) != napi_ok) door->self.reset();
  }
  static void environmentEnds(void* data) {
    const auto door = std::move(static_cast<Door*>(data)->self);
    const std::lock_guard lock(door->mutex);
    door->isGone = true;
  }
  // In JavaScript's thread, once the other one has let go of the function.
  void unwatch() {
    {
      const std::lock_guard lock(mutex);
    }
    if (self == nullptr) return;
    napi_remove_env_cleanup_hook(env, environmentEnds, this);
    self.reset();
  }

  napi_env env;
  std::mutex mutex;
  bool isGone = false;
  Napi::ThreadSafeFunction function;
  std::shared_ptr<Door> self;  // while the environment may call the hook
};

namespace {

using End = std::function<void(Napi::Env)>;

}  // namespace

Settlement::Settlement(Napi::Env env)
    : deferred_(Napi::Promise::Deferred::New(env)), door_(std::make_shared<Door>(env)) {
  Door::watch(door_);
}

void Settlement::settle(std::function<void(Napi::Env)> end) {
  auto* held = new End([door = door_, end = std::move(end)](Napi::Env env) {
    door->unwatch();
    if (!door->isGone) end(env);
  });
  const std::lock_guard lock(door_->mutex);
  // where the environment has ended nobody waits for the promise any more
  const auto status =
      door_->isGone ? napi_closing : door_->function.BlockingCall(held, [](Napi::Env env, Napi::Function, End* call) {
        const std::unique_ptr<End> owned(call);
        if (static_cast<napi_env>(env) != nullptr) (*call)(env);
      });
  if (status != napi_ok) delete held;
  if (status != napi_closing) door_->function.Release();
}

void Settlement::resolve(Value value) {
  settle([deferred = deferred_, value = std::move(value)](Napi::Env env) {
    try {
      deferred.Resolve(value ? static_cast<napi_value>(value(env)) : static_cast<napi_value>(env.Undefined()));
    } catch (...) {
      deferred.Reject(failure(env, messageInFlight()).Value());
    }
  });
}

void Settlement::reject(std::string message) {
  settle([deferred = deferred_, message = std::move(message)](Napi::Env env) {
    deferred.Reject(failure(env, message).Value());
  });
}

Napi::Promise inBackground(Napi::Env env, std::function<Settlement::Value()> work) {
  auto settlement = std::make_shared<Settlement>(env);
  const auto promise = settlement->promise();
  std::thread([settlement, work = std::move(work)] {
    try {
      settlement->resolve(work());
    } catch (...) {
      settlement->reject(messageInFlight());
    }
  }).detach();
  return promise;
}

}  // namespace qwen_pt

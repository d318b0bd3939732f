#include "background.h"

#include <c10/util/Exception.h>

#include <memory>
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

Settlement::Settlement(Napi::Env env)
    : deferred_(Napi::Promise::Deferred::New(env)),
      door_(Napi::ThreadSafeFunction::New(env, Napi::Function(), "qwen_pt_distributed", 0, 1)) {}

void Settlement::settle(std::function<void(Napi::Env)> end) {
  auto door = door_;
  auto* held = new std::function<void(Napi::Env)>(std::move(end));
  // where the environment ends meanwhile nobody waits for the promise any more
  const auto status = door.BlockingCall(held, [](Napi::Env env, Napi::Function, std::function<void(Napi::Env)>* call) {
    const std::unique_ptr<std::function<void(Napi::Env)>> owned(call);
    if (static_cast<napi_env>(env) != nullptr) (*call)(env);
  });
  if (status != napi_ok) delete held;
  if (status != napi_closing) door.Release();
}

void Settlement::resolve(Value value) {
  settle([deferred = deferred_, value = std::move(value)](Napi::Env env) {
    deferred.Resolve(value ? static_cast<napi_value>(value(env)) : static_cast<napi_value>(env.Undefined()));
  });
}

void Settlement::reject(std::string message) {
  settle([deferred = deferred_, message = std::move(message)](Napi::Env env) {
    auto error = Napi::Error::New(env, message);
    error.Set("code", Napi::String::New(env, "ERR_DISTRIBUTED"));
    deferred.Reject(error.Value());
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

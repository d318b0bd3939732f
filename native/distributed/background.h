// A promise for what would block: the work runs on another thread, JavaScript goes on. What the work throws rejects
// the promise with the code ERR_DISTRIBUTED.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>

namespace qwen_pt {

// The message of the exception in flight, on one line and without a backtrace.
std::string messageInFlight();

// An error for JavaScript, with the code ERR_DISTRIBUTED.
Napi::Error failure(Napi::Env env, const std::string& message);

// How a promise ends: called in JavaScript's thread, once, from any thread.
class Settlement {
 public:
  using Value = std::function<Napi::Value(Napi::Env)>;
  explicit Settlement(Napi::Env env);
  Napi::Promise promise() const { return deferred_.Promise(); }
  // `value` makes the result; undefined where it is empty. What it throws rejects the promise.
  void resolve(Value value = {});
  void reject(std::string message);

 private:
  struct Door;
  void settle(std::function<void(Napi::Env)> end);
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Door> door_;
};

// Runs `work` on a thread; what it returns makes the result.
Napi::Promise inBackground(Napi::Env env, std::function<Settlement::Value()> work);

}  // namespace qwen_pt

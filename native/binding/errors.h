// Errors on their way to JavaScript: a C++ exception becomes a pending JavaScript one, and ends here.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "node_api_experimental.h"

namespace qwen_pt {

// An error with a code that lib/torch/errors.ts turns into its own class.
struct CodedError : std::exception {
  CodedError(const char* errorCode, std::string text) : code(errorCode), message(std::move(text)) {}
  const char* what() const noexcept override { return message.c_str(); }
  const char* code;
  std::string message;
};

// Turns the exception in flight into a pending JavaScript exception. The only place where C++ exceptions end.
void throwPending(napi_env env) noexcept;

// Runs `body` and lets no C++ exception pass.
template <class Body>
napi_value guard(napi_env env, Body&& body) noexcept {
  try {
    return body();
  } catch (...) {
    throwPending(env);
    return nullptr;
  }
}

inline void check(napi_env env, napi_status status) {
  if (status != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    throw CodedError("ERR_NAPI", pending ? "a JavaScript exception is pending" : "a Node-API call failed");
  }
}

}  // namespace qwen_pt

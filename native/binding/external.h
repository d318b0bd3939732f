// A thing that JavaScript holds as an External, other than a tensor (handle.h): its kind stands before it, so that one is
// never taken for another, and the collector frees it.
#pragma once

#include <memory>
#include <utility>

#include "handle.h"
#include "instance.h"

namespace qwen_pt {

template <typename T, HandleKind Kind>
struct External {
  HandleKind kind = Kind;
  T thing;

  /// JavaScript's handle of a thing.
  static napi_value hold(napi_env env, T thing) {
    auto made = std::make_unique<External>(External{Kind, std::move(thing)});
    napi_value external;
    check(env, napi_create_external(env, made.get(), finalize, nullptr, &external));
    made.release();
    return external;
  }

  /// The thing behind a value, or null where the value is anything else.
  static T* find(napi_env env, napi_value value) {
    void* data = nullptr;
    if (napi_get_value_external(env, value, &data) != napi_ok || data == nullptr) return nullptr;
    auto* found = static_cast<External*>(data);
    return found->kind == Kind ? &found->thing : nullptr;
  }

 private:
  static void finalize(node_api_basic_env, void* data, void*) { delete static_cast<External*>(data); }
};

}  // namespace qwen_pt

// In place of gloo's header of this name, which no wheel ships: of a context only what c10d's inline functions call.
// libtorch makes contexts; here they are pointed at and never looked into.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  Context() = delete;
  Context(const Context&) = delete;
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo

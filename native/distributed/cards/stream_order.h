// Collectives on a device's tensors take their place in the device's streams, and the host goes on: what was asked of the
// device before a collective is begun comes before it, and nothing that is asked later is waited for.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <functional>
#include <memory>

namespace qwen_pt {

class StreamOrder {
 public:
  // What this thread has asked of a tensor's device so far; null where there are no streams, on the processor and on meta.
  static std::shared_ptr<StreamOrder> of(const at::Tensor& tensor);
  explicit StreamOrder(at::Device device);

  // Runs `start`, on whatever thread: what it asks of the device comes after that, in a stream by itself.
  void after(const std::function<void()>& start);

 private:
  at::Device device_;
  c10::Event event_;
};

}  // namespace qwen_pt

#include "cards/stream_order.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "tensors/placement.h"

namespace qwen_pt {

using c10::impl::VirtualGuardImpl;

std::shared_ptr<StreamOrder> StreamOrder::of(const at::Tensor& tensor) {
  if (!tensor.defined() || isOnHost(tensor) || !hasMemory(tensor)) return nullptr;
  return std::make_shared<StreamOrder>(tensor.device());
}

StreamOrder::StreamOrder(at::Device device) : device_(device), event_(device.type()) {
  event_.record(VirtualGuardImpl(device.type()).getStream(device));
}

void StreamOrder::after(const std::function<void()>& start) {
  const c10::StreamGuard guard(VirtualGuardImpl(device_.type()).getStreamFromGlobalPool(device_));
  event_.block(guard.current_stream());
  start();
}

}  // namespace qwen_pt

// Copies between the host's memory and an accelerator's in a stream beside the one that computes. The two are ordered by
// events alone: a transfer begins after what was asked of the device before it, and what follows it waits on the device,
// never on the host. Whose memory may be freed when is the caller's: lib/step/activations/host-store.ts.

#include "transfers.h"

#include "binding/conversions.h"
#include "binding/external.h"
#include "dtype.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace qwen_pt {

namespace {

c10::Stream computing(c10::Device device) { return c10::impl::VirtualGuardImpl(device.type()).getStream(device); }

using StreamHandle = External<c10::Stream, HandleKind::Stream>;
using EventHandle = External<c10::Event, HandleKind::Event>;

template <typename Found>
Found& found(Found* thing, const char* otherwise) {
  if (!thing) throw CodedError("ERR_ARGUMENT", otherwise);
  return *thing;
}

// openTransfers("cuda:0") -> stream, one of the device's own pool
napi_value openTransfers(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  c10::Device device = deviceOf(toString(env, args[0], "device"));
  const c10::impl::VirtualGuardImpl of(device.type());
  if (!device.has_index()) device = of.getDevice();
  return StreamHandle::hold(env, of.getStreamFromGlobalPool(device));
}

// startTransfer(stream, to[], from[]) -> event: each `from` is copied into the `to` beside it
napi_value startTransfer(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const c10::Stream& side = found(StreamHandle::find(env, args[0]), "argument 'stream' must be a stream");
  const std::vector<at::Tensor> to = toTensors(instance, args[1], "to"), from = toTensors(instance, args[2], "from");
  TORCH_CHECK(to.size() == from.size(), "as many tensors to copy into are needed as to copy");
  const c10::DeviceGuard on(side.device());
  c10::Event ready(side.device_type());
  ready.record(computing(side.device()));
  ready.block(side);
  c10::Event done(side.device_type());
  {
    const c10::StreamGuard beside(side);
    for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i], /*non_blocking=*/true);
  }
  done.record(side);
  return EventHandle::hold(env, std::move(done));
}

// followTransfer(event): what is asked of the device from here on comes after the copies
napi_value followTransfer(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const auto& done = found(EventHandle::find(env, args[0]), "argument 'event' must be an event");
  const c10::Device device(done.device_type(), done.device_index());
  done.block(computing(device));
  return undefined(env);
}

}  // namespace

void defineTransfers(napi_env env, napi_value exports, Instance& instance) {
  define<openTransfers>(env, exports, instance, "openTransfers");
  define<startTransfer>(env, exports, instance, "startTransfer");
  define<followTransfer>(env, exports, instance, "followTransfer");
}

}  // namespace qwen_pt

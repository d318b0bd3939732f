// In place of gloo's header of this name, which no wheel ships: names alone. libtorch makes devices and buffers.
#pragma once

namespace gloo::transport {

class Device;
class UnboundBuffer;

}  // namespace gloo::transport

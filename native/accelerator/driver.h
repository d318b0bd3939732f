// NVIDIA's driver: what it takes to load a cubin and launch a kernel, found by name in libcuda. No header and no library
// of CUDA's is needed to build this.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace qwen_pt {

/// Blocks of a launch, threads of a block, bytes of shared memory beside what a kernel declares.
struct Grid {
  unsigned blocks, threads, shared = 0;
};

class Driver {
 public:
  /// The driver of this machine, or null with the reason in `error`.
  static const Driver* find(std::string& error);

  /// A device's compute capability: 90 for 9.0; 0 where the driver does not say.
  int capability(int device) const;
  /// Makes the device's primary context, which libtorch uses, this thread's where it has none: the runtime does that at
  /// its own first call, and a thread of autograd's may launch one of our kernels before.
  void enter(int device) const;
  /// A module from a cubin or from PTX, on the current device; null with the reason in `error`.
  void* load(const std::string& code, std::string& error) const;
  void* function(void* module, const std::string& name) const;
  /// On the device's current stream. Throws c10::Error where the driver refuses.
  void launch(void* function, const std::string& name, const Grid& grid, void** arguments,
              const at::Device& device) const;

 private:
  explicit Driver(void* library);
  std::string words(int result) const;

  void* library_;
};

}  // namespace qwen_pt

// The driver's functions, as cuda.h of CUDA 12 and 13 declares them.

#include "driver.h"

#include "libraries.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <memory>

namespace qwen_pt {

namespace {

using Result = int;  // 0 is success

template <typename Function>
Function* get(void* library, const char* name) {
  return reinterpret_cast<Function*>(symbolOf(library, name));
}

using LaunchKernel = Result(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
                            void**);

}  // namespace

Driver::Driver(void* library) : library_(library) {}

const Driver* Driver::find(std::string& error) {
  static std::string reason;
  static const std::unique_ptr<const Driver> found = []() -> std::unique_ptr<const Driver> {
#ifdef _WIN32
    void* library = openLibrary("nvcuda.dll", reason);
#else
    void* library = openLibrary("libcuda.so.1", reason);
#endif
    if (!library) return nullptr;
    for (const char* name : {"cuInit", "cuDeviceGetAttribute", "cuCtxGetCurrent", "cuCtxSetCurrent",
                             "cuDevicePrimaryCtxRetain", "cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel"}) {
      if (symbolOf(library, name)) continue;
      reason = std::string("the driver has no ") + name;
      return nullptr;
    }
    std::unique_ptr<const Driver> made(new Driver(library));
    const Result started = get<Result(unsigned)>(library, "cuInit")(0);  // does nothing where libtorch has done it
    if (started == 0) return made;
    reason = "the driver does not start: " + made->words(started);
    return nullptr;
  }();
  error = reason;
  return found.get();
}

std::string Driver::words(int result) const {
  const char* said = nullptr;
  const auto describe = get<Result(Result, const char**)>(library_, "cuGetErrorString");
  if (describe) describe(result, &said);
  return (said ? said : "unknown error") + std::string(" (") + std::to_string(result) + ")";
}

int Driver::capability(int device) const {
  constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
  const auto attribute = get<Result(int*, int, int)>(library_, "cuDeviceGetAttribute");
  int major = 0, minor = 0;
  if (attribute(&major, kMajor, device) != 0 || attribute(&minor, kMinor, device) != 0) return 0;
  return 10 * major + minor;
}

void Driver::enter(int device) const {
  static const auto current = get<Result(void**)>(library_, "cuCtxGetCurrent");
  void* context = nullptr;
  if (current(&context) == 0 && context) return;
  const Result retained = get<Result(void**, int)>(library_, "cuDevicePrimaryCtxRetain")(&context, device);
  TORCH_CHECK(retained == 0, "CUDA error: ", words(retained), " where device ", device, " was entered");
  get<Result(void*)>(library_, "cuCtxSetCurrent")(context);
}

void* Driver::load(const std::string& code, std::string& error) const {
  void* module = nullptr;
  const Result result = get<Result(void**, const void*)>(library_, "cuModuleLoadData")(&module, code.c_str());
  if (result == 0) return module;
  error = words(result);
  return nullptr;
}

void* Driver::function(void* module, const std::string& name) const {
  void* found = nullptr;
  get<Result(void**, void*, const char*)>(library_, "cuModuleGetFunction")(&found, module, name.c_str());
  return found;
}

void Driver::launch(void* function, const std::string& name, const Grid& grid, void** arguments,
                    const at::Device& device) const {
  static const auto launch = get<LaunchKernel>(library_, "cuLaunchKernel");
  void* stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
  const Result result =
      launch(function, grid.blocks, 1, 1, grid.threads, 1, 1, grid.shared, stream, arguments, nullptr);
  TORCH_CHECK(result == 0, "CUDA error: ", words(result), " where the kernel ", name, " was launched");
}

}  // namespace qwen_pt

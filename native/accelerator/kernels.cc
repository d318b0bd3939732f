// Where a kernel comes from: sources beside the package, compiled for the device's architecture, kept as files by
// architecture, compiler and source (cubin_cache.h), loaded once a process and device.

#include "kernels.h"

#include "cubin_cache.h"
#include "libraries.h"
#include "nvrtc.h"
#include "recorder.h"
#include "tensors/placement.h"

#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int kOldest = 75;  // NVRTC 13 compiles for nothing older

using Emulated = int(const char*, unsigned, unsigned, unsigned, void**, char*);

struct Settings {
  std::string sources, cache;
  Emulated* emulator = nullptr;
};

std::recursive_mutex lock;
Settings settings;

/// What a device can do, found out once.
struct Device {
  std::string architecture;  // sm_90; compute_120 where the compiler does not know the card
  std::string reason;        // why there are no kernels; empty where there are
  int capability = 0;        // times ten; 0 where no driver says it
  std::map<std::string, void*> modules, functions;
};

/// The newest code that runs on a card: its own, or of the same generation; else PTX, which the driver compiles.
std::string architectureFor(int capability, const std::vector<int>& known) {
  int best = 0, newest = 0;
  for (const int each : known) {
    newest = std::max(newest, each);
    if (each <= capability && each / 10 == capability / 10) best = std::max(best, each);
  }
  return best ? "sm_" + std::to_string(best) : "compute_" + std::to_string(newest);
}

void prepare(Device& device, int index) {
  const Driver* driver = Driver::find(device.reason);
  if (!driver) return;
  const int capability = device.capability = driver->capability(index);
  if (capability < kOldest) {
    device.reason = "the card's compute capability is " + std::to_string(capability / 10) + "." +
                    std::to_string(capability % 10) + ", below 7.5";
    return;
  }
  const Nvrtc* compiler = Nvrtc::find(device.reason);
  if (compiler) device.architecture = architectureFor(capability, compiler->architectures());
}

Device& deviceOf(int index) {
  static std::map<int, Device> devices;
  const auto [at, isNew] = devices.try_emplace(index);
  if (isNew) prepare(at->second, index);
  return at->second;
}

/// The module of a source: the cache's, or compiled now. One that the driver does not take is compiled again.
void* moduleOf(Device& device, const std::string& source) {
  if (void* known = device.modules[source]) return known;
  std::string error;
  const Driver* driver = Driver::find(error);
  const Nvrtc* compiler = Nvrtc::find(error);
  const KernelSource text(settings.sources, source);
  const CubinCache cache(settings.cache, text.key(compiler->version(), device.architecture));
  std::string code = cache.read();
  void* module = code.empty() ? nullptr : driver->load(code, error);
  if (!module) {
    const Compiled made = compiler->compile(text.source(), text.headers(), device.architecture);
    TORCH_CHECK(made.done, source, ".cu does not compile for ", device.architecture, ": ", made.log);
    cache.write(made.code);
    module = driver->load(made.code, error);
    TORCH_CHECK(module, source, ".cu compiled for ", device.architecture, " is refused by the driver: ", error);
  }
  return device.modules[source] = module;
}

void* functionOf(Device& device, const std::string& source, const std::string& name) {
  if (void* known = device.functions[name]) return known;
  std::string error;
  void* found = Driver::find(error)->function(moduleOf(device, source), name);
  TORCH_CHECK(found, source, ".cu has no kernel ", name);
  return device.functions[name] = found;
}

bool isWanted() {
  const char* given = std::getenv("QWEN_PT_FUSED");
  return !given || std::string_view(given) != "0";
}

}  // namespace

bool hasKernels(const Tensor& where) {
  if (!isWanted()) return false;
  if (!hasMemory(where)) return true;
  const std::lock_guard<std::recursive_mutex> guard(lock);
  if (isOnHost(where)) return settings.emulator != nullptr;
  return deviceOf(where.device().index()).reason.empty();
}

std::string kernelSuffix(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat: return "f32";
    case at::kBFloat16: return "bf16";
    case at::kHalf: return "f16";
    default: return "";
  }
}

int kernelKind(at::ScalarType dtype) { return dtype == at::kFloat ? 0 : dtype == at::kBFloat16 ? 1 : 2; }

bool isWide(int64_t width, std::initializer_list<Tensor> operands) {
  for (const Tensor& each : operands) {
    if (!each.defined()) continue;
    if (width * each.element_size() % 16 != 0) return false;
    if (hasMemory(each) && reinterpret_cast<uintptr_t>(each.const_data_ptr()) % 16 != 0) return false;
  }
  return true;
}

void launchKernel(const Tensor& where, const char* source, const std::string& name, const Grid& grid,
                  void** arguments) {
  countLaunch(name.c_str());
  if (!hasMemory(where) || grid.blocks == 0) return;
  const std::lock_guard<std::recursive_mutex> guard(lock);
  if (isOnHost(where)) {
    char error[256] = "";
    TORCH_CHECK(settings.emulator, "no emulator is loaded");
    TORCH_CHECK(settings.emulator(name.c_str(), grid.blocks, grid.threads, grid.shared, arguments, error) == 0, error);
    return;
  }
  const c10::DeviceGuard on(where.device());
  std::string error;
  const Driver* driver = Driver::find(error);
  driver->enter(where.device().index());
  void* function = functionOf(deviceOf(where.device().index()), source, name);
  driver->launch(function, name, grid, arguments, where.device());
}

namespace {

// setKernelFolders(sources, cache): where the sources lie, and where what is compiled is kept
napi_value setKernelFolders(napi_env env, Instance&, const Arguments& args) {
  const std::lock_guard<std::recursive_mutex> guard(lock);
  settings.sources = toString(env, args[0], "sources");
  settings.cache = toString(env, args[1], "cache");
  return undefined(env);
}

// loadKernelEmulator(path or ""): kernels run on the processor by this library, or no longer
napi_value loadKernelEmulator(napi_env env, Instance&, const Arguments& args) {
  const std::string path = toString(env, args[0], "path");
  const std::lock_guard<std::recursive_mutex> guard(lock);
  settings.emulator = nullptr;
  if (path.empty()) return undefined(env);
  std::string error;
  void* library = openLibrary(path, error);
  if (!library) throw CodedError("ERR_ARGUMENT", error);
  settings.emulator = reinterpret_cast<Emulated*>(symbolOf(library, "qwen_pt_launch_emulated"));
  if (!settings.emulator) throw CodedError("ERR_ARGUMENT", path + " is no emulator of kernels");
  return undefined(env);
}

napi_value strings(napi_env env, std::initializer_list<std::pair<const char*, std::string>> values) {
  napi_value result;
  check(env, napi_create_object(env, &result));
  for (const auto& [key, value] : values) check(env, napi_set_named_property(env, result, key, toJs(env, value)));
  return result;
}

// kernelState(index) -> {architecture, capability, reason, compiler}: reason is empty where kernels run on that card
napi_value kernelState(napi_env env, Instance&, const Arguments& args) {
  const std::lock_guard<std::recursive_mutex> guard(lock);
  const Device& device = deviceOf(static_cast<int>(toInteger(env, args[0], "index")));
  std::string error;
  const Nvrtc* compiler = Nvrtc::find(error);
  napi_value state = strings(env, {{"architecture", device.architecture},
                                   {"reason", isWanted() ? device.reason : "QWEN_PT_FUSED is 0"},
                                   {"compiler", compiler ? compiler->version() : ""}});
  napi_value capability;
  check(env, napi_create_int32(env, device.capability, &capability));
  check(env, napi_set_named_property(env, state, "capability", capability));
  return state;
}

// compileKernels(source, architecture) -> {code: ArrayBuffer, log}; throws where it does not compile, or nothing compiles
napi_value compileKernels(napi_env env, Instance&, const Arguments& args) {
  const std::string source = toString(env, args[0], "source"), architecture = toString(env, args[1], "architecture");
  std::string error;
  const Nvrtc* compiler = Nvrtc::find(error);
  if (!compiler) throw CodedError("ERR_TORCH", "NVRTC: " + error);
  const KernelSource text(settings.sources, source);
  const Compiled made = compiler->compile(text.source(), text.headers(), architecture);
  if (!made.done) throw CodedError("ERR_TORCH", source + ".cu for " + architecture + ": " + made.log);
  napi_value result = strings(env, {{"log", made.log}, {"compiler", compiler->version()}});
  napi_value buffer;
  void* bytes = nullptr;
  check(env, napi_create_arraybuffer(env, made.code.size(), &bytes, &buffer));
  std::copy(made.code.begin(), made.code.end(), static_cast<char*>(bytes));
  check(env, napi_set_named_property(env, result, "code", buffer));
  return result;
}

}  // namespace

void defineKernels(napi_env env, napi_value exports, Instance& instance) {
  define<setKernelFolders>(env, exports, instance, "setKernelFolders");
  define<loadKernelEmulator>(env, exports, instance, "loadKernelEmulator");
  define<kernelState>(env, exports, instance, "kernelState");
  define<compileKernels>(env, exports, instance, "compileKernels");
}

}  // namespace qwen_pt

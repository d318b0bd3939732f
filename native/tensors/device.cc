// Accelerators, memory figures, threads, numerical modes, versions, and the lease. Device-generic interfaces only,
// so one source serves the CPU and the CUDA build of libtorch.
#include "device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "dtype.h"

namespace qwen_pt {

namespace {

c10::DeviceIndex indexOf(napi_env env, napi_value value) {
  const at::Device device = deviceOf(toString(env, value, "device"));
  return device.has_index() ? device.index() : static_cast<c10::DeviceIndex>(0);
}

// accelerator() -> {type, count} | undefined. Counting devices starts no context on them.
napi_value accelerator(napi_env env, Instance&, const Arguments&) {
  const auto type = at::accelerator::getAccelerator(false);
  if (!type || at::accelerator::deviceCount() == 0) return undefined(env);
  napi_value result;
  check(env, napi_create_object(env, &result));
  check(env, napi_set_named_property(env, result, "type", toJs(env, c10::DeviceTypeName(*type, true))));
  check(env,
        napi_set_named_property(env, result, "count", toJs(env, static_cast<int64_t>(at::accelerator::deviceCount()))));
  return result;
}

// deviceMemory("cuda:0") -> {allocated, reserved, peakAllocated, peakReserved} in bytes
napi_value deviceMemory(napi_env env, Instance&, const Arguments& args) {
  const auto stats = at::accelerator::getDeviceStats(indexOf(env, args[0]));
  constexpr size_t kAll = 0;  // StatType::AGGREGATE
  napi_value result;
  check(env, napi_create_object(env, &result));
  const auto set = [&](const char* key, int64_t value) {
    check(env, napi_set_named_property(env, result, key, toJs(env, value)));
  };
  set("allocated", stats.allocated_bytes[kAll].current);
  set("reserved", stats.reserved_bytes[kAll].current);
  set("peakAllocated", stats.allocated_bytes[kAll].peak);
  set("peakReserved", stats.reserved_bytes[kAll].peak);
  return result;
}

napi_value synchronize(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  at::accelerator::synchronizeDevice(indexOf(env, args[0]));
  return undefined(env);
}

// An accelerator's unused blocks; and freed memory that malloc keeps for later, where the C library can give it back.
napi_value emptyCache(napi_env env, Instance& instance, const Arguments&) {
  Lease lease(instance);
  if (at::accelerator::getAccelerator(false)) at::accelerator::emptyCache();
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return undefined(env);
}

napi_value setNumThreads(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const auto count = toInteger(env, args[0], "threads");
  if (count < 1 || count > 4096) throw CodedError("ERR_ARGUMENT", "threads must be between 1 and 4096");
  at::set_num_threads(static_cast<int>(count));
  return undefined(env);
}

napi_value getNumThreads(napi_env env, Instance&, const Arguments&) {
  return toJs(env, static_cast<int64_t>(at::get_num_threads()));
}

// setFloat32Precision("highest" | "high" | "medium"): torch.set_float32_matmul_precision; "high" is tf32.
napi_value setFloat32Precision(napi_env env, Instance&, const Arguments& args) {
  const std::string precision = toString(env, args[0], "precision");
  if (precision != "highest" && precision != "high" && precision != "medium") {
    throw CodedError("ERR_ARGUMENT", "precision must be 'highest', 'high' or 'medium'");
  }
  at::globalContext().setFloat32MatmulPrecision(precision);
  return undefined(env);
}

napi_value setDeterministic(napi_env env, Instance&, const Arguments& args) {
  at::globalContext().setDeterministicAlgorithms(toBool(env, args[0], "deterministic"),
                                                 toBool(env, args[1], "warnOnly"));
  return undefined(env);
}

napi_value holdLease(napi_env env, Instance& instance, const Arguments&) {
  Lease::hold(instance);
  return undefined(env);
}

napi_value releaseLease(napi_env env, Instance& instance, const Arguments&) {
  Lease::letGo(instance);
  return undefined(env);
}

napi_value leaseHeldByAnother(napi_env env, Instance& instance, const Arguments&) {
  return toJs(env, Lease::heldByAnother(instance));
}

// buildInfo() -> versions and what the machine can do
napi_value buildInfo(napi_env env, Instance&, const Arguments&) {
  napi_value result;
  check(env, napi_create_object(env, &result));
  const auto set = [&](const char* key, napi_value value) {
    check(env, napi_set_named_property(env, result, key, value));
  };
  set("builtWith", toJs(env, std::string(TORCH_VERSION)));
  set("cpuCapability", toJs(env, at::get_cpu_capability()));
  set("hasCuda", toJs(env, at::hasCUDA()));
  set("hasMkldnn", toJs(env, at::hasMKL() || at::globalContext().hasMKLDNN()));
  set("config", toJs(env, at::show_config()));
  return result;
}

#ifdef _WIN32
void* openLibrary(const std::string& path) { return LoadLibraryA(path.c_str()); }
void preferExpandableSegments() {}  // there are none on Windows
std::string folderOfTorch() {
  HMODULE module = GetModuleHandleA("torch_cpu.dll");
  char path[MAX_PATH] = {};
  if (!module || !GetModuleFileNameA(module, path, MAX_PATH)) return "";
  const std::string full = path;
  return full.substr(0, full.find_last_of("\\/") + 1);
}
constexpr const char* kCudaLibrary = "torch_cuda.dll";
#else
void* openLibrary(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL); }
/// Segments that grow keep the allocator of a device from falling into pieces. Whoever has set its options has chosen.
void preferExpandableSegments() {
  if (!getenv("PYTORCH_CUDA_ALLOC_CONF")) setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True", /*overwrite=*/0);
}
std::string folderOfTorch() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) || !info.dli_fname) return "";
  const std::string full = info.dli_fname;
  return full.substr(0, full.find_last_of('/') + 1);
}
constexpr const char* kCudaLibrary = "libtorch_cuda.so";
#endif

}  // namespace

// The CUDA half of libtorch registers itself when it is opened; nothing links to it, so that the same addon serves
// machines without it.
void loadAccelerators() {
  const std::string folder = folderOfTorch();
  if (folder.empty() || !std::filesystem::exists(folder + kCudaLibrary)) return;
  preferExpandableSegments();  // the options are read once
  openLibrary(folder + kCudaLibrary);
}

void defineDevice(napi_env env, napi_value exports, Instance& instance) {
  define<accelerator>(env, exports, instance, "accelerator");
  define<deviceMemory>(env, exports, instance, "deviceMemory");
  define<synchronize>(env, exports, instance, "synchronize");
  define<emptyCache>(env, exports, instance, "emptyCache");
  define<setNumThreads>(env, exports, instance, "setNumThreads");
  define<getNumThreads>(env, exports, instance, "getNumThreads");
  define<setFloat32Precision>(env, exports, instance, "setFloat32Precision");
  define<setDeterministic>(env, exports, instance, "setDeterministic");
  define<holdLease>(env, exports, instance, "holdLease");
  define<releaseLease>(env, exports, instance, "releaseLease");
  define<leaseHeldByAnother>(env, exports, instance, "leaseHeldByAnother");
  define<buildInfo>(env, exports, instance, "buildInfo");
}

}  // namespace qwen_pt

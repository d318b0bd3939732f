// Accelerators, memory figures, threads, numerical modes, versions, and the lease. Device-generic interfaces only,
// so one source serves the CPU and the CUDA build of libtorch.
#include "device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/env.h>

#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "accelerator/libraries.h"
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

napi_value numbers(napi_env env, std::initializer_list<std::pair<const char*, int64_t>> values) {
  napi_value result;
  check(env, napi_create_object(env, &result));
  for (const auto& [key, value] : values) check(env, napi_set_named_property(env, result, key, toJs(env, value)));
  return result;
}

/// The accelerator's allocator, or null before anything has asked it for memory: until then it has no figures, and
/// asking for them throws.
at::DeviceAllocator* usedAllocator() {
  const auto type = at::accelerator::getAccelerator(true).value();
  at::DeviceAllocator* allocator = at::getDeviceAllocator(type);
  return allocator->initialized() ? allocator : nullptr;
}

// deviceMemory("cuda:0") -> {allocated, reserved, peakAllocated, peakReserved} in bytes; zeros before the first tensor
napi_value deviceMemory(napi_env env, Instance&, const Arguments& args) {
  const auto index = indexOf(env, args[0]);
  at::DeviceAllocator* allocator = usedAllocator();
  if (!allocator) return numbers(env, {{"allocated", 0}, {"reserved", 0}, {"peakAllocated", 0}, {"peakReserved", 0}});
  const auto stats = allocator->getDeviceStats(index);
  constexpr size_t kAll = 0;  // StatType::AGGREGATE
  return numbers(env, {{"allocated", stats.allocated_bytes[kAll].current},
                       {"reserved", stats.reserved_bytes[kAll].current},
                       {"peakAllocated", stats.allocated_bytes[kAll].peak},
                       {"peakReserved", stats.reserved_bytes[kAll].peak}});
}

// resetPeakMemory("cuda:0"): peaks are counted from what is held now.
napi_value resetPeakMemory(napi_env env, Instance&, const Arguments& args) {
  const auto index = indexOf(env, args[0]);
  if (at::DeviceAllocator* allocator = usedAllocator()) allocator->resetPeakStats(index);
  return undefined(env);
}

// freeDeviceMemory("cuda:0") -> {free, total} in bytes, as the driver sees the whole device
napi_value freeDeviceMemory(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const auto [free, total] = at::accelerator::getMemoryInfo(indexOf(env, args[0]));
  return numbers(env, {{"free", static_cast<int64_t>(free)}, {"total", static_cast<int64_t>(total)}});
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

// cuBLAS is deterministic with a workspace of one size alone, which it reads from the environment when it starts. A
// worker's process.env is a copy: it is set here, where every thread's libraries see it.
napi_value setDeterministic(napi_env env, Instance&, const Arguments& args) {
  const bool deterministic = toBool(env, args[0], "deterministic");
  if (deterministic) c10::utils::set_env("CUBLAS_WORKSPACE_CONFIG", ":16:8", /*overwrite=*/false);
  at::globalContext().setDeterministicAlgorithms(deterministic, toBool(env, args[1], "warnOnly"));
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
  if (!acceleratorError().empty()) set("acceleratorError", toJs(env, acceleratorError()));
  return result;
}

}  // namespace

void defineDevice(napi_env env, napi_value exports, Instance& instance) {
  define<accelerator>(env, exports, instance, "accelerator");
  define<deviceMemory>(env, exports, instance, "deviceMemory");
  define<resetPeakMemory>(env, exports, instance, "resetPeakMemory");
  define<freeDeviceMemory>(env, exports, instance, "freeDeviceMemory");
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

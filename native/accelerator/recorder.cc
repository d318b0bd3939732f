// Counts by at::RecordFunction. Global, because a device's backward pass runs on threads of autograd's. And libtorch's own
// profiler, which measures: a trace in Chrome's format, with a device's kernels where its libraries have CUPTI.

#include "recorder.h"

#include "tensors/placement.h"

#include <ATen/core/function_schema.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace qwen_pt {

namespace {

struct Counts {
  std::map<std::string, int64_t> launches;
  int64_t uploads = 0, waitedUploads = 0, downloads = 0;
};

std::mutex lock;
Counts counts;
std::optional<at::CallbackHandle> callback;

/// Calls under way on this thread: whether each has led to a launch.
thread_local std::vector<bool> calls;

struct Context : at::ObserverContext {
  bool countable = false;
};

bool makesView(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns()) {
    if (result.alias_info() && !result.alias_info()->isWrite()) return true;
  }
  return false;
}

/// Whether an operator has work for a device by itself.
bool isCountable(const at::RecordFunction& call) {
  const auto schema = call.operator_schema();
  if (!schema) return false;
  const std::string& name = schema->name();
  if (name.rfind("aten::empty", 0) == 0 || name.rfind("aten::new_empty", 0) == 0) return false;
  if (name.rfind("qwen_pt::", 0) == 0) return false;  // ours launch through others, or say so
  if (name == "aten::alias" || name == "aten::detach" || name == "aten::_unsafe_view" || name == "aten::set_" ||
      name == "aten::resize_")
    return false;
  if (name.find("_fused_sdp_choice") != std::string::npos || name == "aten::is_nonzero" || name == "aten::result_type")
    return false;
  return !makesView(*schema);
}

void countCopy(const at::RecordFunction& call) {
  const std::string name = call.name();
  if (name == "aten::_local_scalar_dense") {
    ++counts.downloads;
    return;
  }
  if (name != "aten::copy_") return;
  const auto inputs = call.inputs();
  if (inputs.size() < 3 || !inputs[0].isTensor() || !inputs[1].isTensor()) return;
  const bool toHost = isOnHost(inputs[0].toTensor()), fromHost = isOnHost(inputs[1].toTensor());
  if (fromHost && !toHost) {
    ++counts.uploads;
    if (!inputs[2].toBool()) ++counts.waitedUploads;
  } else if (toHost && !fromHost) {
    ++counts.downloads;
  }
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& call) {
  calls.push_back(false);
  auto context = std::make_unique<Context>();
  context->countable = isCountable(call);
  const std::lock_guard<std::mutex> guard(lock);
  countCopy(call);
  return context;
}

void end(const at::RecordFunction& call, at::ObserverContext* context) {
  if (calls.empty()) return;
  bool launched = calls.back();
  calls.pop_back();
  if (!launched && static_cast<Context*>(context)->countable) {
    const std::lock_guard<std::mutex> guard(lock);
    ++counts.launches[call.name()];
    launched = true;
  }
  if (launched && !calls.empty()) calls.back() = true;
}

napi_value startRecording(napi_env env, Instance&, const Arguments&) {
  const std::lock_guard<std::mutex> guard(lock);
  counts = {};
  if (!callback) {
    callback = at::addGlobalCallback(
        at::RecordFunctionCallback(begin, end).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  return undefined(env);
}

// stopRecording() -> {launches: {name: count}, uploads, waitedUploads, downloads}
napi_value stopRecording(napi_env env, Instance&, const Arguments&) {
  Counts found;
  {
    const std::lock_guard<std::mutex> guard(lock);
    if (callback) at::removeCallback(*callback);
    callback.reset();
    std::swap(found, counts);
  }
  napi_value result, launches;
  check(env, napi_create_object(env, &result));
  check(env, napi_create_object(env, &launches));
  for (const auto& [name, count] : found.launches) {
    check(env, napi_set_named_property(env, launches, name.c_str(), toJs(env, count)));
  }
  check(env, napi_set_named_property(env, result, "launches", launches));
  check(env, napi_set_named_property(env, result, "uploads", toJs(env, found.uploads)));
  check(env, napi_set_named_property(env, result, "waitedUploads", toJs(env, found.waitedUploads)));
  check(env, napi_set_named_property(env, result, "downloads", toJs(env, found.downloads)));
  return result;
}

// startProfiler(withDevice): operators from now on, and what they launch
napi_value startProfiler(napi_env env, Instance& instance, const Arguments& args) {
  using torch::profiler::impl::ActivityType;
  Lease lease(instance);
  bool withDevice = false;
  check(env, napi_get_value_bool(env, args[0], &withDevice));
  std::set<ActivityType> activities{ActivityType::CPU};
  if (withDevice) activities.insert(ActivityType::CUDA);
  const torch::autograd::profiler::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  torch::autograd::profiler::prepareProfiler(config, activities);
  torch::autograd::profiler::enableProfiler(config, activities);
  return undefined(env);
}

// stopProfiler(file): writes the trace
napi_value stopProfiler(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  torch::autograd::profiler::disableProfiler()->save(toString(env, args[0], "file"));
  return undefined(env);
}

}  // namespace

void countLaunch(const char* kernel) {
  if (calls.empty()) return;  // nothing is recorded
  const std::lock_guard<std::mutex> guard(lock);
  ++counts.launches[std::string("kernel ") + kernel];
  calls.back() = true;
}

void defineRecorder(napi_env env, napi_value exports, Instance& instance) {
  define<startRecording>(env, exports, instance, "startRecording");
  define<stopRecording>(env, exports, instance, "stopRecording");
  define<startProfiler>(env, exports, instance, "startProfiler");
  define<stopProfiler>(env, exports, instance, "stopProfiler");
}

}  // namespace qwen_pt

// Graphs of a CUDA device, recorded once and replayed: libtorch's at::cuda::CUDAGraph behind four C functions. A separate
// library (scripts/cuda-graph.mjs), because this header of libtorch's needs CUDA's, which the addon does without; it is
// opened by native/accelerator/graphs.cc where it was built.
//
// What is recorded runs on a stream from the pool; the default generator's state is registered by libtorch, so every
// replay draws on from where the last one ended.

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdio>
#include <exception>
#include <memory>

#define QWEN_PT_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Graph {
  at::cuda::CUDAGraph graph;
  c10::cuda::CUDAStream before, stream;
  explicit Graph(int device)
      : before(c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device))),
        stream(c10::cuda::getStreamFromPool(false, static_cast<c10::DeviceIndex>(device))) {}
};

/// 0, or 1 with the reason in `error` (512 bytes).
template <typename Body>
int guarded(char* error, Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception& thrown) {
    std::snprintf(error, 512, "%s", thrown.what());
    return 1;
  }
}

}  // namespace

/// From now on this thread's work on the device is recorded, and not done.
QWEN_PT_EXPORT int qwen_pt_graph_begin(int device, void** made, char* error) {
  return guarded(error, [&] {
    auto graph = std::make_unique<Graph>(device);
    c10::cuda::setCurrentCUDAStream(graph->stream);
    try {
      // what other threads ask of the driver meanwhile does not spoil it
      graph->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    } catch (...) {
      c10::cuda::setCurrentCUDAStream(graph->before);
      throw;
    }
    *made = graph.release();
  });
}

/// Ends the recording, complete or not.
QWEN_PT_EXPORT int qwen_pt_graph_end(void* of, char* error) {
  auto* graph = static_cast<Graph*>(of);
  const int result = guarded(error, [&] { graph->graph.capture_end(); });
  c10::cuda::setCurrentCUDAStream(graph->before);
  return result;
}

/// Does what was recorded, on the current stream.
QWEN_PT_EXPORT int qwen_pt_graph_replay(void* of, char* error) {
  return guarded(error, [&] { static_cast<Graph*>(of)->graph.replay(); });
}

QWEN_PT_EXPORT void qwen_pt_graph_free(void* of) { delete static_cast<Graph*>(of); }

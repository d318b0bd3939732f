// The door to the library of graphs: opened by name, four functions, and a handle that frees a graph at its end.

#include "graphs.h"

#include "binding/external.h"
#include "libraries.h"

#include <memory>
#include <mutex>
#include <string>

namespace qwen_pt {

namespace {

constexpr size_t kError = 512;

struct Library {
  int (*begin)(int, void**, char*) = nullptr;
  int (*end)(void*, char*) = nullptr;
  int (*replay)(void*, char*) = nullptr;
  void (*free)(void*) = nullptr;
};

std::mutex lock;
Library library;

template <typename Function>
void find(void* handle, const char* name, Function*& into) {
  into = reinterpret_cast<Function*>(symbolOf(handle, name));
  if (!into) throw CodedError("ERR_ARGUMENT", std::string("the library of graphs has no ") + name);
}

/// What the library made, null once it is freed.
using Graph = std::unique_ptr<void, void (*)(void*)>;
using GraphHandle = External<Graph, HandleKind::Graph>;

Graph& graphOf(napi_env env, napi_value value) {
  Graph* graph = GraphHandle::find(env, value);
  if (!graph || !*graph) throw CodedError("ERR_ARGUMENT", "argument 'graph' must be a graph that was not freed");
  return *graph;
}

void checkGraph(int result, const char* error) {
  if (result != 0) throw CodedError("ERR_TORCH", std::string("a graph: ") + error);
}

// openGraphs(path) -> "" where graphs can be recorded from now on, else why not
napi_value openGraphs(napi_env env, Instance&, const Arguments& args) {
  const std::lock_guard<std::mutex> guard(lock);
  if (library.begin) return toJs(env, std::string());
  std::string error;
  void* handle = openLibrary(toString(env, args[0], "path"), error);
  if (!handle) return toJs(env, error);
  Library found;
  find(handle, "qwen_pt_graph_begin", found.begin);
  find(handle, "qwen_pt_graph_end", found.end);
  find(handle, "qwen_pt_graph_replay", found.replay);
  find(handle, "qwen_pt_graph_free", found.free);
  library = found;
  return toJs(env, std::string());
}

// beginGraph(device's index) -> graph: what this thread asks of the device is recorded until endGraph
napi_value beginGraph(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  if (!library.begin) throw CodedError("ERR_ARGUMENT", "no library of graphs is open");
  char error[kError] = "";
  void* graph = nullptr;
  checkGraph(library.begin(static_cast<int>(toInteger(env, args[0], "index")), &graph, error), error);
  return GraphHandle::hold(env, Graph(graph, library.free));
}

napi_value endGraph(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  char error[kError] = "";
  checkGraph(library.end(graphOf(env, args[0]).get(), error), error);
  return undefined(env);
}

napi_value replayGraph(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  char error[kError] = "";
  checkGraph(library.replay(graphOf(env, args[0]).get(), error), error);
  return undefined(env);
}

napi_value freeGraph(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  graphOf(env, args[0]).reset();
  return undefined(env);
}

}  // namespace

void defineGraphs(napi_env env, napi_value exports, Instance& instance) {
  define<openGraphs>(env, exports, instance, "openGraphs");
  define<beginGraph>(env, exports, instance, "beginGraph");
  define<endGraph>(env, exports, instance, "endGraph");
  define<replayGraph>(env, exports, instance, "replayGraph");
  define<freeGraph>(env, exports, instance, "freeGraph");
}

}  // namespace qwen_pt

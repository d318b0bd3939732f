// Builds the optional library of CUDA graphs (native/cuda_graph) beside the addon: `node scripts/cuda-graph.mjs`, with
// the options of cuda-library.mjs.
import { buildCudaLibrary } from "./cuda-library.mjs";
import { runScript } from "./tools.mjs";

await runScript(() =>
  buildCudaLibrary({
    command: "cuda-graph",
    source: "cuda_graph/cuda_graph.cc",
    file: "qwen_pt_cuda_graph.so",
    without: "Training works without.",
  }),
);

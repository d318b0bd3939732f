// Work of a device that is recorded once and replayed as a whole, by CUDA graphs: a launch then costs the host nothing.
// What is recorded must read its inputs from, and leave its results in, tensors that stay where they are; it may neither
// wait for the device nor bring anything to it. The library that records is optional (scripts/cuda-graph.mjs).
import { existsSync } from "node:fs";
import path from "node:path";
import { graphDevice, synchronize } from "../device.js";
import { guarded } from "../errors.js";
import { keep, scope } from "../lifetime/scope.js";
import { addonPath, type GraphHandle, native } from "../native.js";
import type { Tensor } from "../tensor.js";

/** Work that was recorded. */
export interface Recording {
  /** Does it again, and gives its result: the same tensor every time, overwritten by the next replay. */
  replay(): Tensor;
  /** Frees the graph and its memory. */
  dispose(): void;
}

/** What records: CUDA graphs, or in tests what plays them. */
export interface GraphRecorder {
  /** Records what `body` asks of the device, and does none of it. An error of `body`'s is thrown, and nothing recorded. */
  record(body: () => Tensor): Recording;
}

const LIBRARY = "qwen_pt_cuda_graph.so";

/** The recorder of a CUDA device, or in a line why there is none and what would bring one. */
export function graphRecorder(device: string): GraphRecorder | string {
  const index = graphDevice(device);
  if (index === undefined) return `${device} has no graphs; NVIDIA's cards have`;
  const library = path.join(path.dirname(addonPath() ?? ""), LIBRARY);
  if (!existsSync(library))
    return "the library of CUDA graphs is not built; install nvidia-cuda-crt and nvidia-cuda-cccl beside torch, then run `node scripts/cuda-graph.mjs` in the package's folder";
  const fault = guarded(() => native().openGraphs(library));
  if (fault !== "") return `the library of CUDA graphs does not load (${fault}); build it again`;
  return { record: (body) => record(device, index, body) };
}

function record(device: string, index: number, body: () => Tensor): Recording {
  synchronize(device);
  const graph = guarded(() => native().beginGraph(index));
  let result: Tensor;
  try {
    result = keep(scope(body));
  } catch (error) {
    abandon(graph);
    throw error;
  }
  guarded(() => native().endGraph(graph));
  return {
    replay() {
      guarded(() => native().replayGraph(graph));
      return result;
    },
    dispose() {
      result.dispose();
      guarded(() => native().freeGraph(graph));
    },
  };
}

/** Ends a recording that has failed; the failure that counts is the first. */
function abandon(graph: GraphHandle): void {
  try {
    native().endGraph(graph);
  } catch {
    // what could not be recorded cannot be ended well
  }
  guarded(() => native().freeGraph(graph));
}

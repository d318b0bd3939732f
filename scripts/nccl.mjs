// Builds the optional library that moves tensors between cards by NCCL (native/nccl) beside the addon:
// `node scripts/nccl.mjs`, with the options of cuda-library.mjs.
import path from "node:path";
import { buildCudaLibrary } from "./cuda-library.mjs";
import { projectRoot } from "./libtorch.mjs";
import { runScript } from "./tools.mjs";

await runScript(() =>
  buildCudaLibrary({
    command: "nccl",
    source: "nccl/nccl.cc",
    file: "qwen_pt_nccl.so",
    without: "Without it a run uses one card.",
    headers: { "nvidia-nccl-cu13": "nccl.h" },
    flags: ["-I", path.join(projectRoot, "native"), "-DUSE_C10D_NCCL", "-DUSE_DISTRIBUTED"],
  }),
);

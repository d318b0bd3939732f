// Compiles the CUDA kernels (native/kernels/cuda/*.cu) for every architecture, by NVRTC alone: no card, no toolkit.
//
//   node scripts/checks/cuda-kernels.mjs [--nvrtc FILE] [--arch sm_90a,...] [--output FOLDER] [--json]
//
// NVRTC is found as the addon finds it; --nvrtc names another. Where there is none, the pip package nvidia-cuda-nvrtc (90 MB)
// is fetched into .tools/, which is enough. Of each kernel it says the registers and what is spilt to local memory, as its cubin has them, and the loads and
// stores of 16 bytes, as PTX has them. Exits 1 where a source does not compile or a kernel spills.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { findLibtorch } from "../libtorch.mjs";
import { kernelsIn } from "./cubin.mjs";
import { ensureTool } from "./tool-wheels.mjs";

/** The CUDA of libtorch's own wheels. */
const WHEEL = "nvidia-cuda-nvrtc==13.0.88";
const LIBRARY = "libnvrtc.so.13";

export const architectures = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120"];

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = path.join(root, "native", "kernels", "cuda");
const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};

/** The sources' names without their ending. */
export const sources = () =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".cu"))
    .map((file) => file.slice(0, -3))
    .sort();

/** NVRTC's library out of .tools/, or undefined where the environment or a CUDA build of libtorch has one. */
async function fetchedLibrary() {
  const cuda = path.join(findLibtorch()?.root ?? "", "lib", "libtorch_cuda.so");
  if (process.env.QWEN_PT_NVRTC !== undefined || existsSync(cuda)) return undefined;
  return path.join(await ensureTool("nvrtc", WHEEL), "nvidia", "cu13", "lib", LIBRARY);
}

/** How many loads and stores of 16 bytes, and of fewer, each kernel has in PTX, where they can be read as text. */
function accesses(addon, source) {
  const counts = {};
  let kernel = "";
  for (const line of Buffer.from(addon.compileKernels(source, "compute_90").code)
    .toString("latin1")
    .split("\n")) {
    kernel = /\.entry (\w+)/.exec(line)?.[1] ?? kernel;
    if (!/\b(ld|st)\.global\b/.test(line)) continue;
    counts[kernel] ??= { wide: 0, narrow: 0 };
    counts[kernel][/\.v4\.[a-z]32|\.v2\.[a-z]64/.test(line) ? "wide" : "narrow"]++;
  }
  return counts;
}

/** Compiles everything for the architectures: a row for each kernel. */
export function compileAll(addon, wanted, output) {
  const rows = [];
  const global = Object.assign({}, ...sources().map((source) => accesses(addon, source)));
  for (const architecture of wanted)
    for (const source of sources()) {
      const started = performance.now();
      const { code, log } = addon.compileKernels(source, architecture);
      const seconds = (performance.now() - started) / 1000;
      const file = path.join(output, `${source}-${architecture}.cubin`);
      writeFileSync(file, Buffer.from(code));
      for (const kernel of kernelsIn(Buffer.from(code)))
        rows.push({ architecture, source, seconds, log, ...kernel, ...global[kernel.name] });
    }
  return rows;
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const library = option("--nvrtc") ?? (await fetchedLibrary());
  if (library !== undefined) process.env.QWEN_PT_NVRTC = path.resolve(library);
  const { addonPath } = await import("../../dist/torch/native.js");
  const addon = createRequire(import.meta.url)(addonPath());
  addon.setKernelFolders(folder, "");
  const output = option("--output") ?? mkdtempSync(path.join(os.tmpdir(), "qwen-pt-cubins-"));
  mkdirSync(output, { recursive: true });
  const wanted = option("--arch")?.split(",") ?? architectures;
  try {
    const rows = compileAll(addon, wanted, output);
    if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify(rows, null, 1)}\n`);
    else
      for (const architecture of wanted) {
        const own = rows.filter((row) => row.architecture === architecture);
        const times = new Map(own.map(({ source, seconds }) => [source, seconds]));
        const most = own.reduce((a, b) => (b.registers > a.registers ? b : a));
        const wide = own.filter((row) => row.wide > 0).length;
        const total = [...times.values()].reduce((a, b) => a + b, 0);
        const spilt = own.filter(({ local }) => local > 0).map(({ name }) => name);
        const logs = [...new Set(own.map(({ log }) => log).filter(Boolean))];
        process.stdout.write(
          `${architecture}: ${own.length} kernels in ${total.toFixed(1)} s, at most ${most.registers} registers (${most.name}), ${wide} with accesses of 16 bytes, ${spilt.length === 0 ? "nothing spilt" : `local memory in ${spilt.join(", ")}`}${logs.length > 0 ? `; ${logs.join(" ")}` : ""}\n`,
        );
      }
    process.exitCode = rows.some(({ local }) => local > 0) ? 1 : 0;
  } catch (error) {
    process.stderr.write(`cuda-kernels: ${error.message}\n`);
    process.exitCode = 1;
  } finally {
    if (option("--output") === undefined) rmSync(output, { recursive: true });
  }
}

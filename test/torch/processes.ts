// Scripts that compute in a separate process: lib/ transpiled to a folder, the addon that was built.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { addonPath } from "../../lib/torch/native.js";
import { type Finished, runNode } from "../cli/program.js";

const environment = { ...process.env, OMP_NUM_THREADS: "1", QWEN_PT_ADDON: addonPath() };
let count = 0;

/** Runs an ES module in which `torch` is the binding and `url` its address (for workers), to its end. */
export function runTorch(
  program: string,
  body: string,
  options: { execArgv?: string[]; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  const url = pathToFileURL(path.join(program, "dist/torch/index.js")).href;
  const file = path.join(program, `script-${count++}.mjs`);
  writeFileSync(
    file,
    `import * as torch from ${JSON.stringify(url)};\nconst url = ${JSON.stringify(url)};\n${body}\n`,
  );
  return runNode([...(options.execArgv ?? []), file], { ...environment, ...options.env }, program);
}

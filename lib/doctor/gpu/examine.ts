// The whole of `doctor --gpu` on one device: parity, a recipe, timings, and the report of them. Writes no files.
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { fusedKernels } from "../../torch/index.js";
import { packageVersion } from "../../version.js";
import type { Facts } from "../facts.js";
import { float8Parity } from "./float8.js";
import { modelParity } from "./model.js";
import { operatorParity } from "./operators.js";
import { describeMachine, type GpuReport, scrubbed } from "./report.js";
import { recipeRuns } from "./steps.js";
import { QWEN3_06B, SMALL, timings } from "./timings.js";

export interface ExamineOptions {
  readonly device: string;
  /** Small shapes and fewer steps: tries the examination; its timings mean nothing. */
  readonly quick?: boolean;
  /** Hears what is being done. */
  readonly onStage?: (stage: string) => void;
}

/** What must not leave this machine, and what stands for it. */
function privateNames(): Record<string, string> {
  const packageFolder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
  let user = "";
  try {
    user = os.userInfo().username;
  } catch {
    // a user without an entry: there is no name to hide
  }
  return {
    [packageFolder]: "qwen-pt",
    [process.cwd()]: ".",
    [os.tmpdir()]: "tmp",
    [os.homedir()]: "~",
    [os.hostname()]: "host",
    // names as short as "root" or "ci" also occur in plain words
    ...(user.length > 4 ? { [user]: "user" } : {}),
  };
}

/**
 * Compares a device with the processor, trains on it, times it.
 * @param facts the machine's, for the report
 */
export async function examine(
  facts: Facts,
  { device, quick = false, onStage }: ExamineOptions,
): Promise<GpuReport> {
  onStage?.("operators beside the processor's float64");
  const operators = [...operatorParity(device), ...float8Parity(device)];
  onStage?.("a tiny Qwen3 beside the processor's float64");
  const model = modelParity(device);
  const steps = quick ? 4 : 20;
  onStage?.(`${steps} steps of training, in float32 and bfloat16`);
  const runs = await recipeRuns(device, steps);
  onStage?.("the time of the main operators");
  const times = timings(device, quick ? SMALL : QWEN3_06B);
  const parity = [...operators, ...model];
  const report: GpuReport = {
    version: packageVersion(),
    date: new Date().toISOString().slice(0, 10),
    device,
    machine: describeMachine(facts),
    kernels: kernelsOf(device),
    parity,
    runs,
    timings: times,
    passed:
      [...parity, ...runs].every(({ passed }) => passed) && times.every(({ error }) => error === undefined),
  };
  return JSON.parse(scrubbed(JSON.stringify(report), jsonNames())) as GpuReport;
}

function kernelsOf(device: string): string | undefined {
  const state = fusedKernels(device);
  if (state === undefined) return undefined;
  return state.reason === "" ? `${state.architecture}, NVRTC ${state.compiler}` : `none: ${state.reason}`;
}

/** The private names as they stand inside a JSON text, where a backslash is doubled. */
function jsonNames(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(privateNames()).map(([name, instead]) => [JSON.stringify(name).slice(1, -1), instead]),
  );
}

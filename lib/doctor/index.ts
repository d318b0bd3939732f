// What is wrong with an installation, and what a card makes of the package; exports only, and the door to the rules.
import { cudaScript, toolsScript } from "../install/scripts.js";
import type { Rules } from "./finding.js";

export { diagnose } from "./checks.js";
export { whyNoDevice } from "./checks-gpu.js";
export type { Facts } from "./facts.js";
export type { Finding, Rules } from "./finding.js";
export { type ExamineOptions, examine } from "./gpu/examine.js";
export { type GpuReport, reportMarkdown } from "./gpu/report.js";
export { probe } from "./probe.js";
export { trainingMachine } from "./training-machine.js";

/** The tables of the set-up scripts, which the checks share. */
export async function rulesOf(): Promise<Rules> {
  return { cuda: await cudaScript(), tools: await toolsScript() };
}

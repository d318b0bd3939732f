// What a check of the doctor's says, and what it may look at beside the facts. Data and their makers; no check is here.
import type { CudaScript, ToolsScript } from "../install/scripts.js";
import type { Facts } from "./facts.js";

export interface Finding {
  readonly check: string;
  readonly state: "ok" | "warning" | "problem";
  /** What was found, in one line. */
  readonly text: string;
  /** What to do; only where the state is not ok. */
  readonly remedy?: string;
}

/** What the judging needs beside the facts: the set-up scripts' tables. */
export interface Rules {
  readonly cuda: Pick<CudaScript, "builds" | "minimumDriver" | "hasCodeFor" | "chooseBuild">;
  readonly tools: Pick<ToolsScript, "atLeast" | "howToGet">;
}

export type Check = (facts: Facts, rules: Rules) => Finding | undefined;

export const ok = (check: string, text: string): Finding => ({ check, state: "ok", text });
export const warning = (check: string, text: string, remedy: string): Finding => ({
  check,
  state: "warning",
  text,
  remedy,
});
export const problem = (check: string, text: string, remedy: string): Finding => ({
  check,
  state: "problem",
  text,
  remedy,
});

/** The command that builds the addon. */
export const rebuild = ({ installed }: Facts): string => (installed ? "npx qwen-pt setup" : "npm run build");

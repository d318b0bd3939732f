// Programs in the reference Python (torch, transformers, PEFT, tokenizers), for tests. Not a test.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { folder } from "./runs.js";

/** Runs a program in the reference Python and gives what it prints last as JSON. */
export function python(program: string, ...values: string[]): unknown {
  const file = path.join(folder(), "program.py");
  writeFileSync(file, program);
  const env = { ...process.env, OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1" };
  const out = execFileSync(process.env.QWEN_PT_REFERENCE_PYTHON as string, [file, ...values], {
    env,
    maxBuffer: 1 << 28,
  });
  return JSON.parse(String(out).trim().split("\n").at(-1) as string);
}

// Other encoders beside ours, from a file of JSON lines: Hugging Face's tokenizers and bpe-qwen, from PyPI, in a
// separate environment under .bench/.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = ["bpe-qwen==0.1.5", "tokenizers==0.23.3", "transformers==5.24.0"];
const program = fileURLToPath(new URL("../programs/data_encoders.py", import.meta.url));

/** What is compared: a label, the library, and on how many threads or processes. */
export const ENCODERS = [
  { label: "tokenizers, batches, 2 threads", library: "tokenizers", workers: 2 },
  { label: "bpe-qwen, 1 thread", library: "bpe-qwen", workers: 1 },
  { label: "bpe-qwen, 2 processes", library: "bpe-qwen", workers: 2 },
];

/** Installs the encoders where they are missing; returns their Python. */
export function ensureEncoders(folder) {
  const environment = path.join(folder, "encoders");
  const python = path.join(environment, "bin", "python");
  const installed = path.join(environment, "bin", "transformers");
  if (existsSync(installed)) return python;
  for (const [command, args] of [
    ["python3", ["-m", "venv", environment]],
    [python, ["-m", "pip", "install", "-q", ...PACKAGES]],
  ]) {
    const done = spawnSync(command, args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
    if (done.status !== 0)
      throw new Error(`${command} ${args.join(" ")}: ${done.stderr.trim().split("\n").at(-1)}`);
  }
  return python;
}

/** The command that encodes a file by a library. */
export function encoderCommand(python, { library, workers }, tokenizer, file) {
  return {
    command: python,
    args: [program, library, tokenizer, file, String(workers)],
    env: { RAYON_NUM_THREADS: String(workers), TOKENIZERS_PARALLELISM: "true" },
  };
}

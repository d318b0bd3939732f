// A folder in which the documentation's commands run as they are written: `npx qwen-pt` is this program, Qwen/Qwen3-0.6B is a
// folder with the small model (a folder of that name goes before a hub), the corpora are short, and training takes one
// step of short blocks. The commands themselves are not changed.
import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { addonPath } from "../../lib/torch/native.js";
import type { Finished } from "../cli/program.js";
import { type Block, blocksOf, root } from "./pages.js";

/** What `train` and `estimate` get in addition, so that a recipe for hours takes seconds. */
export const SHORT_KEYS = [
  "max_steps=1",
  "cutoff_len=32",
  "preprocessing_num_workers=1",
  "gradient_accumulation_steps=1",
  "overwrite_output_dir=true",
];

/** Makes the folder. `program` is what buildProgram returns; a page that writes its recipe finds none. */
export function makeSandbox(program: string, hasRecipe = true): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-docs-"));
  const at = (...parts: string[]) => path.join(folder, ...parts);
  mkdirSync(at("Qwen"));
  cpSync(path.join(root, "examples/model"), at("Qwen/Qwen3-0.6B"), { recursive: true });
  cpSync(path.join(root, "examples"), at("examples"), { recursive: true });
  for (const name of ["prose", "prose-heldout", "poetry-heldout"]) {
    const rows = readFileSync(path.join(root, `examples/data/${name}.jsonl`), "utf8").split("\n");
    writeFileSync(
      at(`examples/data/${name}.jsonl`),
      `${rows.slice(0, name === "prose" ? 8 : 2).join("\n")}\n`,
    );
  }
  const [recipe] = blocksOf("README.md").filter(({ language }) => language === "yaml");
  for (const name of hasRecipe ? ["recipe.yaml", "qwen3_pt.yaml"] : [])
    writeFileSync(at(name), (recipe as Block).code);
  const essay = JSON.stringify({ text: "The first document, as long as it likes. ".repeat(40) });
  writeFileSync(at("essays.jsonl"), `${essay}\n${essay}\n`);
  mkdirSync(at("node_modules"));
  symlinkSync(program, at("node_modules/qwen-pt"));
  mkdirSync(at(".config/fish/completions"), { recursive: true });
  // the doctor's tables, which init asks
  if (!existsSync(path.join(program, "scripts")))
    symlinkSync(path.join(root, "scripts"), path.join(program, "scripts"));
  writeShims(folder, program);
  return folder;
}

/** The programs that the blocks call, under their names. */
function writeShims(folder: string, program: string): void {
  const bin = path.join(folder, "bin");
  const main = path.join(program, "dist/cli/main.js");
  const shims = {
    "qwen-pt": `case "$1" in train|estimate) set -- "$@" ${SHORT_KEYS.join(" ")};; esac\nexec "${process.execPath}" "${main}" "$@"`,
    npx: 'exec "$@"',
    torchrun: 'exec "$QWEN_PT_PYTHON" -m torch.distributed.run "$@"',
  };
  mkdirSync(bin);
  for (const [name, script] of Object.entries(shims)) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
}

/** Runs a text in bash, in the folder, and stops at the first command that fails. */
export function runThere(folder: string, text: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const PATH = [path.join(folder, "bin"), process.env["PATH"]].join(path.delimiter);
  const { QWEN_PT_TALLY: _, ...outer } = process.env;
  const child = spawn("bash", ["-c", `set -eo pipefail\nfpath=("" "$PWD")\n${text}`], {
    cwd: folder,
    env: {
      ...outer,
      PATH,
      HOME: folder,
      QWEN_PT_ADDON: addonPath(),
      QWEN_PT_TOKEN_CACHE: "off",
      HF_HUB_OFFLINE: "1",
      OMP_NUM_THREADS: "1",
      ...env,
    },
  });
  const began = performance.now();
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    err += data;
  });
  child.stdin.end();
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err, milliseconds: performance.now() - began }));
  });
}

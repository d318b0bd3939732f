// The reference trainer, LLaMA-Factory 0.9.5, in a separate environment under .bench/ (about 3 GB the first time).
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const packages = [
  ["torch==2.13.0"],
  ["transformers==5.6.0", "peft==0.18.1", "accelerate==1.11.0", "datasets==4.0.0", "trl==0.24.0"],
  [
    "av",
    "einops",
    "fastapi",
    "fire",
    "gradio<=5.50.0",
    "hf-transfer",
    "matplotlib",
    "modelscope",
    "omegaconf",
    "pandas",
  ],
  ["protobuf", "pydantic", "pyyaml", "safetensors", "scipy", "sentencepiece", "sse-starlette", "tiktoken"],
  ["torchdata<=0.11.0", "tyro<0.9.0", "uvicorn"],
  ["--no-deps", "llamafactory==0.9.5"],
];

function run(command, args) {
  const done = spawnSync(command, args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  if (done.status !== 0)
    throw new Error(`${command} ${args.join(" ")}: ${done.stderr.trim().split("\n").at(-1)}`);
}

/** Installs what LLaMA-Factory's QLoRA needs where it is missing. */
export function ensureBitsandbytes({ python }) {
  if (spawnSync(python, ["-c", "import bitsandbytes"], { stdio: "ignore" }).status === 0) return;
  run(python, ["-m", "pip", "install", "-q", "--no-deps", "bitsandbytes==0.50.2"]);
}

/**
 * Installs LLaMA-Factory where it is missing. LLAMAFACTORY_ENV names an environment that has it already.
 * @returns {{python: string, cli: string}}
 */
export function ensureLlamaFactory(folder) {
  const environment = process.env.LLAMAFACTORY_ENV ?? path.join(folder, "llamafactory");
  const python = path.join(environment, "bin", "python");
  const cli = path.join(environment, "bin", "llamafactory-cli");
  if (!existsSync(cli)) {
    process.stderr.write("installing LLaMA-Factory 0.9.5 (a few minutes, about 3 GB)\n");
    run("python3", ["-m", "venv", environment]);
    for (const names of packages) run(python, ["-m", "pip", "install", "-q", ...names]);
    // torchaudio is imported and, for text, never called; there is no build of it for every torch
    const site = spawnSync(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], {
      encoding: "utf8",
    });
    const stub = path.join(site.stdout.trim(), "torchaudio");
    if (!existsSync(stub)) {
      mkdirSync(stub);
      writeFileSync(path.join(stub, "__init__.py"), "");
    }
  }
  return { python, cli };
}

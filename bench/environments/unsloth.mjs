// Unsloth, whose processor backend is a peer, in a separate environment under .bench/ (about 3 GB the first time). It is
// under the AGPL: it is installed to be measured, by its published interface, and nothing of it is part of the project.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

const VERSION = "2026.10.9";
// the same libtorch as everyone's on this page
const packages = [["torch==2.13.0"], [`unsloth==${VERSION}`, `unsloth_zoo==${VERSION}`, "torch==2.13.0"]];

function attempt(command, args) {
  const { status, stderr } = spawnSync(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
  });
  return status === 0 ? undefined : stderr.trim().split("\n").at(-1);
}

/**
 * Installs Unsloth where it is missing; UNSLOTH_ENV names an environment that has it already. Where it cannot be
 * installed or imported, `refused` says why: that is a result too.
 * @returns {{python: string, version: string, refused?: string}}
 */
export function ensureUnsloth(folder) {
  const environment = process.env.UNSLOTH_ENV ?? path.join(folder, "unsloth");
  const python = path.join(environment, "bin", "python");
  const ready = path.join(environment, "ready");
  if (!existsSync(ready) && process.env.UNSLOTH_ENV === undefined) {
    process.stderr.write(`installing Unsloth ${VERSION} (a few minutes, about 3 GB)\n`);
    rmSync(environment, { recursive: true, force: true });
    let problem = attempt("python3", ["-m", "venv", environment]);
    for (const names of packages) problem ??= attempt(python, ["-m", "pip", "install", "-q", ...names]);
    // PyPI's is compiled for CUDA and does not load beside a torch without it; text needs none
    problem ??= attempt(python, ["-m", "pip", "uninstall", "-q", "-y", "torchvision"]);
    if (problem !== undefined) return { python, version: VERSION, refused: `does not install: ${problem}` };
    writeFileSync(ready, "");
  }
  const problem = attempt(python, ["-c", "import unsloth"]);
  return problem === undefined
    ? { python, version: VERSION }
    : { python, version: VERSION, refused: `does not start: ${problem}` };
}

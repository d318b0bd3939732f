// `npm run gpu:pack [-- FOLDER]`: makes a folder (build/gpu-kit) that a bare machine with a card can run by one command
// and without a network: Node, what npm would publish, the modules that it needs, and the programs in kit/. That machine
// brings Python with torch, cmake and g++.
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { projectRoot } from "../libtorch.mjs";
import { contentFaults, modulesOf, packed } from "../release/package-contents.mjs";
import { runScript, SetupError } from "../tools.mjs";

/** Bytes that the folder may have: it travels by whatever means there are. */
const LARGEST = 40e6;
const folder = path.resolve(process.argv[2] ?? path.join(projectRoot, "build", "gpu-kit"));
const kit = path.join(import.meta.dirname, "kit");

/** Production modules without the optional ones, dependencies of dependencies included: names below node_modules/. */
function productionModules() {
  const said = execFileSync("npm", ["ls", "--omit=dev", "--omit=optional", "--all", "--parseable"], {
    cwd: projectRoot,
    encoding: "utf8",
  });
  const [, ...found] = said.trim().split("\n");
  return [...new Set(found.map((place) => path.relative(projectRoot, place)))];
}

/** A tar.xz of files; xz is slow on one core, so it gets all of them. */
function archive(name, files) {
  const list = path.join(folder, "list");
  writeFileSync(list, files.join("\n"));
  execFileSync("tar", ["-C", projectRoot, "-cJf", path.join(folder, name), "--no-recursion", "-T", list], {
    env: { ...process.env, XZ_OPT: "-T0 -6" },
  });
  rmSync(list);
}

function filesBelow(place) {
  const isNeeded = (name) =>
    !/\.(md|markdown|map|d\.[mc]?ts)$|(^|\/)node_modules\//.test(name) &&
    statSync(path.join(projectRoot, place, name)).isFile();
  const names = readdirSync(path.join(projectRoot, place), { recursive: true, encoding: "utf8" });
  return names.filter(isNeeded).map((name) => `${place}/${name}`);
}

/** Node without its symbols: a third of its size. */
function packNode() {
  const bare = path.join(folder, "node");
  execFileSync("strip", ["-o", bare, realpathSync(process.execPath)]);
  execFileSync("xz", ["-T0", "-6", "-f", bare]);
}

/**
 * The headers that CUDA graphs and NCCL need beside torch's own packages (scripts/cuda-library.mjs), of the CUDA that torch
 * has now; without pip or a network the kit goes without.
 */
function packHeaders() {
  const place = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-headers-"));
  try {
    const packages = ["nvidia-cuda-crt==13.0.*", "nvidia-cuda-cccl==13.0.*"];
    const args = ["-m", "pip", "download", "--quiet", "--no-deps", "-d", place, ...packages];
    if (spawnSync("python3", args, { stdio: "ignore", timeout: 120_000 }).status !== 0) {
      process.stderr.write(
        "gpu:pack: pip does not bring CUDA's headers; the kit builds graphs and NCCL where that machine has them\n",
      );
      return;
    }
    for (const wheel of readdirSync(place))
      execFileSync("python3", ["-m", "zipfile", "-e", path.join(place, wheel), path.join(place, "headers")]);
    execFileSync("tar", ["-C", place, "-cJf", path.join(folder, "headers.tar.xz"), "headers/nvidia"]);
  } finally {
    rmSync(place, { recursive: true });
  }
}

await runScript(async () => {
  if (process.platform !== "linux" || os.arch() !== "x64")
    throw new SetupError(
      "gpu:pack makes a kit for Linux on x64, with this machine's Node: run it on such a machine.",
    );
  const built = execFileSync(process.execPath, [
    path.join(projectRoot, "scripts", "build.mjs"),
    "--typescript",
  ]);
  process.stderr.write(built);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const contents = packed(projectRoot);
  const faults = contentFaults(
    contents,
    JSON.parse(readFileSync(path.join(projectRoot, "package.json"), "utf8")),
    modulesOf(projectRoot),
  );
  if (faults.length > 0) throw new SetupError(`the package is not whole: ${faults.join("; ")}.`);
  archive(
    "package.tar.xz",
    contents.paths.filter((name) => !/^docs\/|\.(d\.ts|map)$|^examples\/notebooks\//.test(name)),
  );
  archive("modules.tar.xz", productionModules().flatMap(filesBelow));
  packNode();
  packHeaders();
  cpSync(kit, folder, { recursive: true });
  const size = readdirSync(folder).reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);
  const rows = readdirSync(folder).map(
    (name) => `  ${(statSync(path.join(folder, name)).size / 1e6).toFixed(1).padStart(6)} MB  ${name}`,
  );
  process.stdout.write(`${rows.join("\n")}\n${folder}: ${(size / 1e6).toFixed(1)} MB\n`);
  process.stdout.write(
    `there: bash ${path.basename(folder)}/check.sh    (bash check.sh cpu tries it without a card)\n`,
  );
  if (size > LARGEST) throw new SetupError(`that is more than ${LARGEST / 1e6} MB.`);
});

// `npm run prebuilt`: compiles the addons for others' machines and packs them as the optional package of this platform, and
// the package itself, which names it, into build/prebuilt. It publishes nothing. prebuilt-addon.mjs has the platforms, and
// says which of them has been tried.
//   --try             installs both tarballs in an empty folder, sets up without a compiler, trains one step, and says how
//                     long it took
//   --with A-B,...    names the packages of these platforms too (linux-arm64, darwin-arm64), whose tarballs were made there
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { compileAddon, compiledFile, nativeHash } from "../addon.mjs";
import { findLibtorch, projectRoot } from "../libtorch.mjs";
import { manifestName, nodeApi, packageName, platforms, sha256 } from "../prebuilt-addon.mjs";
import { checkTools, runScript, SetupError } from "../tools.mjs";

const output = path.join(projectRoot, "build", "prebuilt");
const manifest = JSON.parse(readFileSync(path.join(projectRoot, "package.json"), "utf8"));
const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;
const say = (text) => process.stdout.write(`${text}\n`);

/** `npm pack` of a folder; returns the tarball's path. */
function pack(folder) {
  const args = ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", output];
  const shell = process.platform === "win32"; // npm is a script there, which only a shell starts
  const name = execFileSync("npm", args, { cwd: folder, encoding: "utf8", shell }).trim().split("\n").at(-1);
  return path.join(output, name);
}

/** The binaries that hold a path of this machine: nothing of it may be published. */
function pathsIn(folder, places) {
  return readdirSync(folder).filter((name) => {
    const bytes = readFileSync(path.join(folder, name));
    return places.some((place) => bytes.includes(place));
  });
}

/** The platform's package, from a portable build. Returns its tarball. */
async function packAddons(libtorch) {
  const work = path.join(projectRoot, "build", "cmake-portable");
  await compileAddon(work, libtorch.root, ["--CDQWEN_PT_PORTABLE=ON"]);
  const built = path.dirname(compiledFile(work));
  const folder = path.join(output, packageName());
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const names = readdirSync(built).filter((name) => name.endsWith(".node"));
  for (const name of names) {
    copyFileSync(path.join(built, name), path.join(folder, name));
    // names of functions are of use to a debugger alone, and are half of the bytes; CMakeLists.txt leaves them out on macOS
    if (process.platform === "linux") spawnSync("strip", ["--strip-unneeded", path.join(folder, name)]);
  }
  const telling = pathsIn(folder, [
    projectRoot,
    libtorch.root,
    os.homedir() === "/" ? projectRoot : `${os.homedir()}/`,
  ]);
  if (telling.length > 0) throw new SetupError(`${telling.join(", ")}: a path of this machine is in it`);
  const record = {
    libtorch: libtorch.version,
    nodeApi,
    sources: nativeHash(),
    files: Object.fromEntries(names.map((name) => [name, sha256(path.join(folder, name))])),
  };
  writeFileSync(path.join(folder, manifestName), `${JSON.stringify(record, null, 2)}\n`);
  const glibc = process.platform === "linux" ? { libc: ["glibc"] } : {};
  const about = {
    name: packageName(),
    version: manifest.version,
    description: `The addons of qwen-pt ${manifest.version}, compiled for ${process.platform} ${process.arch}`,
    license: manifest.license,
    os: [process.platform],
    cpu: [process.arch],
    ...glibc,
    files: [manifestName, ...names],
  };
  writeFileSync(path.join(folder, "package.json"), `${JSON.stringify(about, null, 2)}\n`);
  return pack(folder);
}

/** The package itself as it would be published: with the platforms' packages among what is optional. */
function packPackage(others) {
  const plain = pack(projectRoot);
  const folder = path.join(output, "package");
  rmSync(folder, { recursive: true, force: true });
  execFileSync("tar", ["-xzf", plain, "-C", output]);
  const file = path.join(folder, "package.json");
  const published = JSON.parse(readFileSync(file, "utf8"));
  for (const name of [packageName(), ...others]) published.optionalDependencies[name] = manifest.version;
  writeFileSync(file, `${JSON.stringify(published, null, 2)}\n`);
  return pack(folder);
}

/** An empty folder, both tarballs, setup with a compiler that fails, and one step of training. */
function tryIt(tarballs, libtorch) {
  const room = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-prebuilt-"));
  try {
    const bin = path.join(room, "bin");
    mkdirSync(bin);
    for (const name of ["g++", "cmake", "clang++"]) {
      writeFileSync(path.join(bin, name), "#!/bin/sh\necho no compiler >&2\nexit 1\n");
      chmodSync(path.join(bin, name), 0o755);
    }
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, LIBTORCH: libtorch.root };
    for (const name of Object.keys(env)) if (/^(npm_|QWEN_PT_ADDON)/.test(name)) delete env[name];
    env.QWEN_PT_CACHE = path.join(room, "cache");
    const run = (what, command, args) => {
      const start = performance.now();
      const shell = process.platform === "win32";
      const { status, stdout, stderr } = spawnSync(command, args, {
        cwd: room,
        env,
        encoding: "utf8",
        shell,
      });
      if (status !== 0)
        throw new SetupError(`${what} failed: ${stderr.trim().split("\n").slice(-5).join("; ")}`);
      say(`${what}: ${seconds(start)}`);
      return stdout + stderr;
    };
    writeFileSync(path.join(room, "package.json"), '{ "private": true }\n');
    run("npm install of both tarballs", "npm", ["install", "--no-audit", "--no-fund", ...tarballs]);
    const said = run("npx qwen-pt setup, without a compiler", "npx", ["qwen-pt", "setup"]);
    say(said.trim().replace(/^/gm, "    "));
    cpSync(path.join(room, "node_modules/qwen-pt/examples"), path.join(room, "examples"), {
      recursive: true,
    });
    const keys = ["model_name_or_path=examples/model", "max_steps=1", "cutoff_len=128", "output_dir=out"];
    run("one step of training", "npx", ["qwen-pt", "train", "examples/recipe.yaml", ...keys]);
  } finally {
    rmSync(room, { recursive: true, force: true });
  }
}

await runScript(async () => {
  const known = platforms.map(({ platform, arch }) => packageName(platform, arch));
  const here = platforms.find(({ platform, arch }) => platform === process.platform && arch === process.arch);
  if (here === undefined)
    throw new SetupError(
      `${packageName()} is none of the packages with addons, ${known.join(", ")}: setup compiles here.`,
    );
  const { values } = parseArgs({
    options: { try: { type: "boolean", default: false }, with: { type: "string", default: "" } },
  });
  const others = values.with
    .split(",")
    .filter(Boolean)
    .map((name) => `qwen-pt-${name}`);
  const unknown = others.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new SetupError(`--with: ${unknown} is none of the packages with addons, ${known.join(", ")}.`);
  if (!here.tried) say(`${packageName()}: this has not been tried on such a machine yet`);
  checkTools();
  const libtorch = findLibtorch();
  if (libtorch === undefined) throw new SetupError("libtorch is not here yet: npm run build");
  mkdirSync(output, { recursive: true });
  const start = performance.now();
  const tarballs = [await packAddons(libtorch), packPackage(others)];
  say(`packed in ${seconds(start)}:`);
  for (const file of tarballs)
    say(`    ${path.relative(projectRoot, file)}  ${(readFileSync(file).length / 1e6).toFixed(1)} MB`);
  if (values.try) tryIt(tarballs, libtorch);
});

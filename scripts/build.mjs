// Builds what is stale and nothing else: TypeScript into dist/, the addon (by cmake-js) into build/cmake/Release.
// `npm ci` (prepare), `npm test` and `npm run demo` call it; fresh, it takes a tenth of a second.
//   --typescript, --addon   one half only        --force   rebuild even if nothing changed
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { ensureLibtorch, findLibtorch, projectRoot } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";
import { checkNode, checkPlatform, checkTools, packageFolder, runScript, SetupError } from "./tools.mjs";

const inRoot = (...names) => path.join(projectRoot, ...names);
const addonFile = inRoot("build", "cmake", "Release", "qwen_pt.node");
const addonRecord = inRoot("build", "addon.json");
const typescriptRecord = inRoot("build", "typescript.json");
const command = inRoot("dist", "cli", "main.js");

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** A hash over names and contents: touching a file or cloning again makes nothing stale. */
function hashOf(files, ...more) {
  const hash = createHash("sha256").update(more.join("\0"));
  for (const file of files) hash.update(`\0${path.relative(projectRoot, file)}\0`).update(readFileSync(file));
  return hash.digest("hex");
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return {};
  }
}

function run(command, args, env = process.env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: projectRoot, stdio: ["ignore", "pipe", "pipe"], env });
    let output = "";
    const keep = (text) => {
      output += text;
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => resolve({ status: 1, output: error.message }));
    child.on("close", (status) => resolve({ status, output }));
  });
}

function say(text) {
  process.stderr.write(`qwen-pt: ${text}\n`);
}

const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(0)} s`;

async function buildTypeScript(force) {
  if (!existsSync(inRoot("lib")) || !existsSync(inRoot("tsconfig.json"))) return; // an installed package: dist/ came with it
  const { version } = readJson(path.join(packageFolder("typescript"), "package.json"));
  const hash = hashOf([...filesUnder(inRoot("lib")), inRoot("tsconfig.json")], version);
  if (!force && existsSync(inRoot("dist")) && readJson(typescriptRecord).sources === hash) return;
  const start = performance.now();
  rmSync(inRoot("dist"), { recursive: true, force: true }); // a module that was renamed must not linger
  const tsc = path.join(packageFolder("typescript"), "bin", "tsc");
  const { status, output } = await run(process.execPath, [tsc, "-p", "tsconfig.json"]);
  if (status !== 0) {
    process.stderr.write(output);
    throw new SetupError("TypeScript found errors: they are listed above.");
  }
  if (existsSync(command)) chmodSync(command, 0o755); // package.json's "bin": started as a program in a clone
  mkdirSync(path.dirname(typescriptRecord), { recursive: true });
  writeFileSync(typescriptRecord, `${JSON.stringify({ sources: hash })}\n`);
  say(`built dist/ in ${seconds(start)}`);
}

function addonHash({ root, version }) {
  const files = [inRoot("CMakeLists.txt"), ...filesUnder(inRoot("native"))];
  return hashOf(files, root, version, process.platform, process.arch);
}

async function buildAddon(force) {
  checkNode();
  checkPlatform();
  const isFresh = (libtorch) =>
    !force && libtorch && existsSync(addonFile) && readJson(addonRecord).sources === addonHash(libtorch);
  if (isFresh(findLibtorch())) return;
  checkTools();
  const libtorch = await ensureLibtorch();
  await withLock(inRoot("build", "cmake"), async () => {
    if (isFresh(libtorch)) return;
    const start = performance.now();
    say("compiling the native addon (about a minute)");
    if (force) rmSync(inRoot("build", "cmake"), { recursive: true, force: true });
    await compile(libtorch.root);
    const record = { libtorch: libtorch.root, version: libtorch.version, sources: addonHash(libtorch) };
    mkdirSync(path.dirname(addonRecord), { recursive: true });
    writeFileSync(addonRecord, `${JSON.stringify(record, null, 2)}\n`);
    say(
      `built ${path.relative(projectRoot, addonFile)} against libtorch ${libtorch.version} in ${seconds(start)}`,
    );
  });
}

async function compile(root) {
  const cmakeJs = path.join(packageFolder("cmake-js"), "bin", "cmake-js");
  const common = ["-O", inRoot("build", "cmake"), "-d", projectRoot, "-p", String(os.availableParallelism())];
  const env = { ...process.env, LIBTORCH: root };
  for (const step of ["configure", "build"]) {
    const { status, output } = await run(process.execPath, [cmakeJs, step, ...common], env);
    if (status === 0) continue;
    process.stderr.write(output);
    throw new SetupError("the addon could not be built: the compiler's message is above.");
  }
}

await runScript(async () => {
  const asked = new Set(process.argv.slice(2));
  const force = asked.has("--force");
  const work = [];
  if (!asked.has("--addon")) work.push(buildTypeScript(force));
  if (!asked.has("--typescript")) work.push(buildAddon(force));
  const failed = (await Promise.allSettled(work)).find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
});

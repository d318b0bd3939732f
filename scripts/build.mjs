// Builds what is stale and nothing else: TypeScript into dist/, the addon (by cmake-js) into build/cmake/Release.
// `npm ci` (prepare), `npm test` and `npm run demo` call it; fresh, it takes a tenth of a second.
//   --typescript, --addon   one half only        --force   rebuild even if nothing changed
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  addonHash,
  compileAddon,
  compiledFile,
  distributedAddonBeside,
  filesUnder,
  hashOf,
  nativeHash,
  run,
  textAddonBeside,
} from "./addon.mjs";
import { ensureLibtorch, findLibtorch, projectRoot } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";
import { checkNode, checkPlatform, checkTools, packageFolder, runScript, SetupError } from "./tools.mjs";

const inRoot = (...names) => path.join(projectRoot, ...names);
const addonFile = compiledFile(inRoot("build", "cmake"));
const addonRecord = inRoot("build", "addon.json");
const typescriptRecord = inRoot("build", "typescript.json");
// Which C++ dist/ was packed with: an addon that `qwen-pt setup` builds is looked for under this name.
const nativeRecord = inRoot("dist", "native.json");
const command = inRoot("dist", "cli", "main.js");

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return {};
  }
}

function say(text) {
  process.stderr.write(`qwen-pt: ${text}\n`);
}

const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(0)} s`;

async function buildTypeScript(force) {
  if (!existsSync(inRoot("lib")) || !existsSync(inRoot("tsconfig.json"))) return; // an installed package: dist/ came with it
  const { version } = readJson(path.join(packageFolder("typescript"), "package.json"));
  const hash = hashOf([...filesUnder(inRoot("lib")), inRoot("tsconfig.json")], version);
  if (!force && existsSync(inRoot("dist")) && readJson(typescriptRecord).sources === hash) {
    writeNativeRecord();
    return;
  }
  const start = performance.now();
  rmSync(inRoot("dist"), { recursive: true, force: true }); // a module that was renamed must not linger
  const tsc = path.join(packageFolder("typescript"), "bin", "tsc");
  const { status, output } = await run(process.execPath, [tsc, "-p", "tsconfig.json"]);
  if (status !== 0) {
    process.stderr.write(output);
    throw new SetupError("TypeScript found errors: they are listed above.");
  }
  if (existsSync(command)) chmodSync(command, 0o755); // package.json's "bin": started as a program in a clone
  writeNativeRecord();
  mkdirSync(path.dirname(typescriptRecord), { recursive: true });
  writeFileSync(typescriptRecord, `${JSON.stringify({ sources: hash })}\n`);
  say(`built dist/ in ${seconds(start)}`);
}

function writeNativeRecord() {
  const sources = nativeHash();
  if (readJson(nativeRecord).sources !== sources)
    writeFileSync(nativeRecord, `${JSON.stringify({ sources })}\n`);
}

async function buildAddon(force) {
  checkNode();
  checkPlatform();
  const isFresh = (libtorch) =>
    !force &&
    libtorch &&
    existsSync(addonFile) &&
    existsSync(textAddonBeside(addonFile)) &&
    (process.platform !== "linux" || existsSync(distributedAddonBeside(addonFile))) &&
    readJson(addonRecord).sources === addonHash(libtorch);
  if (isFresh(findLibtorch())) return;
  checkTools();
  const libtorch = await ensureLibtorch();
  await withLock(inRoot("build", "cmake"), async () => {
    if (isFresh(libtorch)) return;
    const start = performance.now();
    say("compiling the native addon (one to three minutes)");
    if (force) rmSync(inRoot("build", "cmake"), { recursive: true, force: true });
    await compileAddon(inRoot("build", "cmake"), libtorch.root);
    const record = { libtorch: libtorch.root, version: libtorch.version, sources: addonHash(libtorch) };
    mkdirSync(path.dirname(addonRecord), { recursive: true });
    writeFileSync(addonRecord, `${JSON.stringify(record, null, 2)}\n`);
    say(
      `built ${path.relative(projectRoot, addonFile)} against libtorch ${libtorch.version} in ${seconds(start)}`,
    );
  });
}

process.once("SIGINT", () => {
  process.stderr.write("\r\u001b[K");
  say("interrupted; npm run build goes on from here");
  process.exit(130);
});
await runScript(async () => {
  const asked = new Set(process.argv.slice(2));
  // npm may run an installed package's `prepare`, if its user allows install scripts: there `qwen-pt setup` builds.
  if (asked.size === 0 && !existsSync(inRoot("lib"))) return;
  const force = asked.has("--force");
  const work = [];
  if (!asked.has("--addon")) work.push(buildTypeScript(force));
  if (!asked.has("--typescript")) work.push(buildAddon(force));
  const failed = (await Promise.allSettled(work)).find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
});

// Sets up an installed package: finds libtorch or fetches it into the user's cache, and compiles the addon there.
// `qwen-pt setup` calls it; a clone has build.mjs instead. It does not choose the cache's place.
//
// In the cache: libtorch/VERSION-BUILD/ (a virtual environment), addon/VERSION-HASH/ with qwen_pt.node and
// qwen_pt_text.node, and addon/KEY.json, which names the addon to load and is written last. What was interrupted is
// taken up again; nothing half-made loads.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import {
  addonHash,
  compileAddon,
  compiledFile,
  distributedAddonBeside,
  environmentFile,
  nativeHash,
  smoke,
  textAddonBeside,
} from "./addon.mjs";
import { minimumDriver } from "./cuda.mjs";
import {
  cudaOf,
  importableLibtorch,
  installedIn,
  installInto,
  namedLibtorch,
  projectRoot,
  torchVersion,
  wantedBuild,
} from "./libtorch.mjs";
import { withLock } from "./lock.mjs";
import { placePrebuilt, prebuiltFolder, unfitness } from "./prebuilt-addon.mjs";
import { atLeast, checkNode, checkPlatform, checkTools, SetupError } from "./tools.mjs";

/** What `--build` may be. "cuda" is the build that the driver and the card can run. */
export const buildNames = ["auto", "cpu", "cuda", "cu126", "cu130", "cu132"];

/** The build to look for: { build, why, asked }; `asked` where the user named it. */
function resolveBuild(name) {
  if (process.platform === "darwin") return { build: "cpu", why: "macOS", asked: false };
  if (name !== "auto" && name !== "cuda") return { build: name, why: "asked for", asked: true };
  const wanted = wantedBuild();
  if (name === "auto") return { ...wanted, asked: false };
  if (wanted.build === "cpu")
    throw new SetupError(`--build cuda: ${wanted.why}; --build cu130 uses it anyway.`);
  return { ...wanted, asked: true };
}

/** Why a libtorch that is here does not serve, or undefined where it does. */
function unfitFor({ build, asked, driver }, found) {
  const cuda = cudaOf(found.root);
  if (build === "cpu") return asked && cuda ? `it is built for CUDA ${cuda}` : undefined;
  if (cuda === undefined) return "it is a CPU build";
  if (asked && /^cu\d+$/.test(build) && build !== `cu${cuda.replace(".", "")}`)
    return `it is built for CUDA ${cuda}`;
  const least = minimumDriver(cuda);
  return driver && least && !atLeast(driver, least) ? `CUDA ${cuda} needs driver ${least}` : undefined;
}

/** libtorch without a download: { root, version, from }, or undefined. `say` hears what was skipped. */
function atHand(wanted, folder, say) {
  const named = namedLibtorch();
  if (named) return { ...named, from: process.env.LIBTORCH ? "LIBTORCH" : "LIBTORCH_USE_PYTORCH" };
  const kept = installedIn(folder);
  if (kept) return { ...kept, from: "fetched earlier" };
  const python = process.env.LIBTORCH_USE_PYTORCH === "0" ? undefined : importableLibtorch();
  if (python === undefined) return undefined;
  const unfit = python.unfit ?? unfitFor(wanted, python);
  if (unfit === undefined) return { ...python, from: "the active Python's torch" };
  say(`skipped ${python.root ?? "a torch"}: ${unfit}`);
  return undefined;
}

const readJson = (file) => {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return {};
  }
};

/** Writes beside its place and renames: a reader sees the old file or the new one. */
function writeWhole(file, text) {
  const part = `${file}.${process.pid}.part`;
  writeFileSync(part, text);
  renameSync(part, file);
}

/** The file that names the addon to load for this C++ and platform; lib/torch/native.ts reads it. */
export const recordName = (version, sources) =>
  `${version}-${process.platform}-${process.arch}-${sources.slice(0, 12)}.json`;

/** The addon built against this libtorch, compiled first where it is not there. Resolves to its file. */
async function buildAddon(cache, version, libtorch, { force, say }) {
  const hash = addonHash(libtorch);
  const folder = path.join(cache, "addon", `${version}-libtorch-${libtorch.version}-${hash.slice(0, 12)}`);
  const file = path.join(folder, "qwen_pt.node");
  const isBuilt = () => existsSync(file) && readJson(path.join(folder, "addon.json")).sources === hash;
  if (!force && isBuilt()) return file;
  if (!force && (await takePrebuilt(folder, libtorch, hash, say))) return file;
  checkTools();
  const waiting = () => say(`another setup is building in ${folder}: waiting for it`);
  return withLock(
    folder,
    async () => {
      if (!force && isBuilt()) return file;
      const start = performance.now();
      say("compiling the native addon (a minute or two)");
      const work = path.join(folder, "cmake");
      if (force) rmSync(work, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      await compileAddon(work, libtorch.root);
      await publish(compiledFile(work), file, libtorch.root);
      writeWhole(path.join(folder, "addon.json"), `${JSON.stringify({ sources: hash })}\n`);
      rmSync(work, { recursive: true, force: true });
      say(`compiled it in ${((performance.now() - start) / 1000).toFixed(0)} s`);
      return file;
    },
    waiting,
  );
}

/** Takes the addon of the platform's optional package, where there is one that fits. Whether it did. */
async function takePrebuilt(folder, libtorch, hash, say) {
  const from = prebuiltFolder();
  if (from === undefined) return false;
  const unfit = unfitness(from, libtorch) ?? (await placePrebuilt(from, folder, libtorch.root));
  if (unfit === undefined) {
    writeWhole(path.join(folder, "addon.json"), `${JSON.stringify({ sources: hash })}\n`);
    say("took the prebuilt addon: nothing is compiled");
    return true;
  }
  say(`the prebuilt addon is not used: ${unfit}`);
  return false;
}

/** Puts a compiled addon in its place once a separate process has loaded it. */
async function publish(compiled, file, root) {
  const { status, output } = await smoke(compiled, root);
  if (status !== 0) {
    const line =
      output.split("\n").find((text) => /^\w*Error\b/.test(text)) ?? `its process ended with ${status}`;
    throw new SetupError(
      `the addon was compiled but does not load: ${line.trim()}: run setup again with --force`,
    );
  }
  for (const beside of [environmentFile, distributedAddonBeside])
    if (existsSync(beside(compiled))) copyFileSync(beside(compiled), beside(file));
  // the record is of the first, which is therefore the last to be in place
  for (const [from, to] of [
    [textAddonBeside(compiled), textAddonBeside(file)],
    [compiled, file],
  ]) {
    copyFileSync(from, `${to}.part`);
    renameSync(`${to}.part`, to);
  }
}

/**
 * Finds or fetches libtorch, builds the addon, and leaves the record that `qwen-pt` finds it by.
 * `cache`: the folder; `build`: one of buildNames; `plan`: says what would be done and does nothing.
 * Resolves to { libtorch, version, cuda, addon, record }; without `addon` where it only planned.
 */
export async function setUp({ cache, build = "auto", force = false, plan = false, say }) {
  if (existsSync(path.join(projectRoot, "tsconfig.json")))
    throw new SetupError("setup is for an installed package; this is a clone, where npm run build does it.");
  checkNode();
  checkPlatform();
  const wanted = resolveBuild(build);
  const folder = path.join(cache, "libtorch", `${torchVersion}-${wanted.build}`);
  const hand = atHand(wanted, folder, say);
  if (plan) return planned(hand, wanted, folder, say);
  if (!hand && prebuiltFolder() === undefined) checkTools(); // before a download, not after it
  const found = hand ?? (await fetched(folder, wanted, say));
  say(`libtorch ${found.version} in ${found.root}${found.from ? ` (${found.from})` : ""}`);
  const { version } = readJson(path.join(projectRoot, "package.json"));
  const addon = await buildAddon(cache, version, found, { force, say });
  // what dist/ was packed with is what it will look for
  const sources = readJson(path.join(projectRoot, "dist", "native.json")).sources ?? nativeHash();
  const record = path.join(cache, "addon", recordName(version, sources));
  const entry = { addon, libtorch: found.root, version: found.version, cuda: cudaOf(found.root) };
  writeWhole(record, `${JSON.stringify(entry, null, 2)}\n`);
  return { ...entry, record };
}

function fetched(folder, wanted, say) {
  const waiting = () => say(`another setup is fetching libtorch into ${folder}: waiting for it`);
  return withLock(folder, async () => installedIn(folder) ?? (await installInto(folder, wanted)), waiting);
}

function planned(hand, wanted, folder, say) {
  if (hand) say(`would build against libtorch ${hand.version} in ${hand.root} (${hand.from})`);
  else {
    const size = wanted.build === "cpu" ? "about 200 MB" : "about 2.5 GB";
    say(
      `would fetch libtorch ${torchVersion} (${wanted.build}: ${wanted.why}) by pip, ${size}, into ${folder}`,
    );
  }
  return { libtorch: hand?.root, version: hand?.version };
}

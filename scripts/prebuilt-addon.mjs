// An addon that came compiled, in an optional package for this platform (qwen-pt-linux-x64): whether it fits, and its way into
// setup's cache. It is made by prebuilt.mjs. Nothing is compiled or fetched here.
//
// Its binaries name no folder of the machine that made them: they look for libtorch in the folder `libtorch` beside them,
// which is a link to the one that setup found.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { nativeHash, smoke } from "./addon.mjs";
import { projectRoot } from "./libtorch.mjs";

/** The platforms that an addon is compiled for, each with a package; `tried` where one has been made and installed. */
export const platforms = [
  { platform: "linux", arch: "x64", tried: true },
  { platform: "linux", arch: "arm64", tried: false },
  { platform: "darwin", arch: "arm64", tried: false },
  { platform: "win32", arch: "x64", tried: false },
];

/** The package of a platform. */
export const packageName = (platform = process.platform, arch = process.arch) =>
  `qwen-pt-${platform}-${arch}`;

/** The file in it that says what the addons were built from. */
export const manifestName = "prebuilt.json";

/** Node-API that the addons ask for: NAPI_VERSION of CMakeLists.txt. */
export const nodeApi = 9;

export const sha256 = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");

/** The folder of this platform's package, where it is installed beside the package. */
export function prebuiltFolder() {
  try {
    const load = createRequire(path.join(projectRoot, "package.json"));
    return path.dirname(load.resolve(`${packageName()}/${manifestName}`));
  } catch {
    return undefined;
  }
}

/** "2.13.0" of "2.13.0+cpu": builds of a release for CPU and CUDA have the same C++ interface. */
const release = (version) => version.split("+")[0];

/**
 * Why the addons of a folder cannot be used with this libtorch, in words that finish "the prebuilt addon is not used: ...";
 * undefined where they can.
 * @param sources the C++ that dist/ was packed with
 */
export function unfitness(folder, { version }, sources = nativeHash(), napi = Number(process.versions.napi)) {
  let made;
  try {
    made = JSON.parse(readFileSync(path.join(folder, manifestName), "utf8"));
  } catch (error) {
    return `${manifestName} cannot be read (${error.message})`;
  }
  if (made.sources !== sources) return "it was built from the C++ of another version of this package";
  if (release(made.libtorch) !== release(version))
    return `it was built against libtorch ${release(made.libtorch)}, and ${version} is here`;
  if (made.nodeApi > napi) return `it needs Node-API ${made.nodeApi}, and this Node has ${napi}`;
  const damaged = Object.entries(made.files ?? {}).find(
    ([name, sum]) => !existsSync(path.join(folder, name)) || sha256(path.join(folder, name)) !== sum,
  );
  return damaged === undefined ? undefined : `${damaged[0]} is missing or damaged`;
}

/**
 * Puts the addons into a folder, with the link to libtorch, once a separate process has loaded them there. Returns what
 * is wrong with them in a line, or undefined where they load.
 */
export async function placePrebuilt(from, folder, root) {
  const part = `${folder}.${process.pid}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  const { files } = JSON.parse(readFileSync(path.join(from, manifestName), "utf8"));
  for (const name of Object.keys(files)) copyFileSync(path.join(from, name), path.join(part, name));
  // Windows lets everybody make a junction, and few a symbolic link
  symlinkSync(path.join(root, "lib"), path.join(part, "libtorch"), "junction");
  const { status, output } = await smoke(path.join(part, "qwen_pt.node"), root);
  if (status === 0) {
    rmSync(folder, { recursive: true, force: true });
    renameSync(part, folder);
    return undefined;
  }
  rmSync(part, { recursive: true, force: true });
  const line = output.split("\n").find((text) => /^\w*Error\b/.test(text));
  return `it does not load here (${line?.trim() ?? `its process ended with ${status}`})`;
}

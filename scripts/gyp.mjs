// Builds the addon by node-gyp into build/Release (`npm run build:gyp`): the second build file, for those who have no
// CMake. Node's own include folder is used where Node brought one, so that node-gyp downloads no headers.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { ensureLibtorch, projectRoot } from "./libtorch.mjs";
import { checkNode, packageFolder, runScript, SetupError } from "./tools.mjs";

/** The folder that holds include/node/common.gypi, or undefined: then node-gyp downloads the headers. */
function nodeFolder() {
  const prefix = path.dirname(path.dirname(process.execPath));
  return existsSync(path.join(prefix, "include", "node", "common.gypi")) ? prefix : undefined;
}

await runScript(async () => {
  checkNode();
  const { root } = await ensureLibtorch();
  const gyp = path.join(packageFolder("node-gyp"), "bin", "node-gyp.js");
  const folder = nodeFolder();
  const args = ["configure", "build", `--jobs=${os.availableParallelism()}`, "--loglevel=warn"];
  if (folder) args.push(`--nodedir=${folder}`);
  const env = { ...process.env, LIBTORCH: root };
  const { status } = spawnSync(process.execPath, [gyp, ...args], { cwd: projectRoot, stdio: "inherit", env });
  if (status !== 0)
    throw new SetupError("node-gyp could not build the addon: the compiler's message is above.");
});

// `npm run docs:site`: builds docs/ as a site into build/site, in English and Chinese, with typedoc's pages under api/. Its
// own packages (docs/site) are installed the first time. A dead link fails it. `-- --serve` watches the pages instead.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { projectRoot } from "../libtorch.mjs";
import { packageFolder, runScript, SetupError } from "../tools.mjs";

const site = path.join(projectRoot, "docs", "site");

/** Runs a program to its end; what it prints is shown. */
function run(what, command, args, cwd) {
  const shell = process.platform === "win32" && command === "npm"; // npm is a script there, which only a shell starts
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit", shell });
  if (status !== 0) throw new SetupError(`${what} failed; what it said is above`);
}

/** npm ci, where the packages are not those of the lock file. */
function install() {
  const done = path.join(site, "node_modules", ".package-lock.json");
  const lock = path.join(site, "package-lock.json");
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return;
  process.stderr.write(
    "qwen-pt: installing the site's packages into docs/site/node_modules/ (about 100 MB)\n",
  );
  run("npm ci in docs/site", "npm", ["ci", "--no-audit", "--no-fund"], site);
}

await runScript(async () => {
  const serve = process.argv.includes("--serve");
  install();
  const vitepress = path.join(site, "node_modules", "vitepress", "bin", "vitepress.js");
  run("the site", process.execPath, [vitepress, serve ? "dev" : "build", "."], site);
  if (serve) return;
  const { bin } = JSON.parse(readFileSync(path.join(packageFolder("typedoc"), "package.json"), "utf8"));
  const typedoc = path.join(packageFolder("typedoc"), bin.typedoc);
  run("typedoc", process.execPath, [typedoc, "--out", path.join("build", "site", "api")], projectRoot);
  process.stdout.write("build/site/index.html; npx vitepress preview . in docs/site serves it\n");
});

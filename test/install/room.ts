// An empty folder into which the package is installed by npm, from what `npm pack` makes, and a separate cache.
// Dependencies come from the repository's node_modules, so that no test needs the network.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
/** The libtorch that the repository's addon was built against, and that addon. */
export const { libtorch } = JSON.parse(readFileSync(path.join(root, "build/addon.json"), "utf8")) as {
  libtorch: string;
};
const builtAddon = path.join(root, "build/cmake/Release/qwen_pt.node");

export interface Ran {
  code: number | null;
  out: string;
  /** Lines of standard error. */
  lines: string[];
}

export class Room {
  readonly dir = realpathSync(mkdtempSync(path.join(tmpdir(), "qwen-pt-room-")));
  readonly cache = path.join(this.dir, "cache");
  private readonly log = path.join(this.dir, "compilations");
  readonly package = path.join(this.dir, "node_modules", "qwen-pt");

  constructor() {
    const shell = process.platform === "win32";
    const pack = ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", this.dir];
    execFileSync("npm", pack, { cwd: root, shell, stdio: ["ignore", "pipe", "inherit"] });
    const archive = readdirSync(this.dir).find((name) => name.endsWith(".tgz"))!;
    execFileSync("tar", ["-xzf", archive], { cwd: this.dir });
    mkdirSync(path.dirname(this.package));
    cpSync(path.join(this.dir, "package"), this.package, { recursive: true });
    for (const name of Object.keys(manifest.dependencies)) {
      const link = path.join(this.package, "node_modules", name);
      mkdirSync(path.dirname(link), { recursive: true });
      if (name !== "cmake-js") symlinkSync(path.join(root, "node_modules", name), link, "junction");
    }
    this.fakeCompiler();
  }

  /** In place of cmake-js, whose run takes a minute: FAKE says what it does with the repository's addon. */
  private fakeCompiler(): void {
    const folder = path.join(this.package, "node_modules/cmake-js");
    mkdirSync(path.join(folder, "bin"), { recursive: true });
    writeFileSync(path.join(folder, "package.json"), '{ "name": "cmake-js", "version": "8.0.0" }\n');
    const script = `
      const fs = require("node:fs"), path = require("node:path");
      const [, , step, , folder] = process.argv, { FAKE, FAKE_LOG } = process.env;
      if (step === "configure") process.exit(0);
      fs.appendFileSync(FAKE_LOG, \`\${process.pid} \${process.env.LIBTORCH}\\n\`);
      fs.mkdirSync(path.join(folder, "Release"), { recursive: true });
      const made = path.join(folder, "Release", "qwen_pt.node"), built = ${JSON.stringify(builtAddon)};
      if (FAKE === "fail") { console.log("kernel.cc:1: error: no such thing"); process.exit(1); }
      if (FAKE === "half") fs.writeFileSync(made, fs.readFileSync(built).subarray(0, 100_000));
      else fs.copyFileSync(built, made);
      for (const name of ["qwen_pt_distributed.node", "qwen_pt_environment.node", "qwen_pt_text.node"]) {
        const [beside, there] = [built, made].map((file) => path.join(path.dirname(file), name));
        if (fs.existsSync(beside)) fs.copyFileSync(beside, there);
      }
      if (FAKE === "slow") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
      if (FAKE === "hang") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);`;
    writeFileSync(path.join(folder, "bin/cmake-js"), script);
  }

  /** The compilations that were begun. */
  compilations(): string[] {
    return existsSync(this.log) ? readFileSync(this.log, "utf8").trim().split("\n") : [];
  }

  /** The environment of a stranger: nothing of the repository's, no libtorch. */
  env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      QWEN_PT_CACHE: this.cache,
      LIBTORCH_USE_PYTORCH: "0",
      FAKE_LOG: this.log,
      ...more,
    };
    for (const name of ["QWEN_PT_ADDON", "LIBTORCH"]) if (!(name in more)) delete env[name];
    return env;
  }

  /** Starts `qwen-pt ...args` and leaves it running. */
  start(args: string[], more: NodeJS.ProcessEnv = {}): ChildProcess {
    const command = path.join(this.package, "dist/cli/main.js");
    return spawn(process.execPath, [command, ...args], {
      cwd: this.dir,
      env: this.env(more),
      stdio: "ignore",
    });
  }

  /** Runs `qwen-pt ...args` as npx does: the package's binary, in the folder. */
  run(args: string[], more: NodeJS.ProcessEnv = {}): Ran {
    const command = path.join(this.package, "dist/cli/main.js");
    const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], {
      cwd: this.dir,
      env: this.env(more),
      encoding: "utf8",
      timeout: 100_000,
    });
    return { code: status, out: stdout, lines: stderr.split("\n").filter((line) => line !== "") };
  }

  /** Files under the cache, with forward slashes, sorted. */
  cached(): string[] {
    if (!existsSync(this.cache)) return [];
    return readdirSync(this.cache, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) =>
        path.relative(this.cache, path.join(entry.parentPath, entry.name)).replaceAll("\\", "/"),
      )
      .sort();
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

// Fills in the facts of this machine for `qwen-pt doctor`: runs compilers, reads /proc, loads the addon in a separate
// process. It judges nothing, and whatever does not answer is left out.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { cacheFolder } from "../files/cache-folder.js";
import { cudaScript, libtorchScript, toolsScript } from "../install/scripts.js";
import { cpuQuota } from "../torch/machine/cpu-quota.js";
import { processorFlags } from "../torch/machine/processor.js";
import { addonRecord, buildCommand, libtorchVersion } from "../torch/native.js";
import type { Compiler, Facts, Gpu, Libtorch } from "./facts.js";
import { probeAddon } from "./probe-addon.js";
import { probeWindows, visualStudio } from "./probe-windows.js";

/** What a command printed, or undefined where it is missing or failed. */
function output(command: string, args: readonly string[], input?: string): string | undefined {
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 20_000,
    input,
  });
  return error || status !== 0 ? undefined : `${stdout}${stderr}`;
}

function text(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

const versionIn = (said: string | undefined, pattern = /(\d+\.\d+[.\d]*)/): string | undefined =>
  said?.match(pattern)?.[1];

function compiler(): Compiler | undefined {
  if (process.platform === "win32") {
    const version = visualStudio();
    return version === undefined ? undefined : { kind: "msvc", version };
  }
  const command =
    (process.env["CXX"] ?? (process.platform === "linux" ? "g++" : "c++")).split(" ")[0] ?? "g++";
  const said = output(command, ["--version"])?.split("\n")[0];
  if (said === undefined) return undefined;
  const source =
    "#include <concepts>\n#include <span>\ntemplate <std::integral T> T f(std::span<T> x) { return x[0]; }\n";
  const compiled = output(command, ["-std=c++20", "-fsyntax-only", "-x", "c++", "-"], source);
  const version = versionIn(said.replace(/\(.*?\)/g, ""));
  return {
    kind: /clang/i.test(said) ? "clang" : "gcc",
    version: version ?? "0",
    cxx20: compiled !== undefined,
  };
}

function python(): Facts["python"] {
  const script =
    "import sys, importlib.util as u; print('%d.%d.%d' % sys.version_info[:3], *(u.find_spec(m) is not None for m in ('pip', 'venv', 'ensurepip')))";
  const commands = process.platform === "win32" ? [["py", "-3"], ["python"]] : [["python3"], ["python"]];
  for (const [command = "", ...flags] of commands) {
    const [version, pip, venv, ensurepip] =
      output(command, [...flags, "-c", script])
        ?.trim()
        .split(" ") ?? [];
    if (version !== undefined)
      return {
        version,
        pip: pip === "True" || ensurepip === "True",
        venv: venv === "True" && ensurepip === "True",
      };
  }
  return undefined;
}

/** The libtorch that the environment names, else the one of the build, else the one that a build would take. */
async function libtorch(): Promise<Libtorch | undefined> {
  const { namedLibtorch, findLibtorch, cudaOf } = await libtorchScript();
  let root: string | undefined;
  try {
    root = namedLibtorch()?.root;
  } catch {
    root = process.env["LIBTORCH"];
  }
  root ??= addonRecord().libtorch ?? findLibtorch()?.root;
  if (root === undefined || !existsSync(root)) return undefined;
  const library = path.join(root, "lib", "libc10.so");
  const cxx11 = existsSync(library) ? readFileSync(library).includes("__cxx11") : undefined;
  return { version: libtorchVersion(root), cuda: cudaOf(root), cxx11 };
}

async function gpu(): Promise<Gpu> {
  const { askDriver } = await cudaScript();
  const { cards = [], problem } = askDriver() ?? {};
  return { cards, problem, onBus: onBus() };
}

function onBus(): boolean | undefined {
  if (process.platform !== "linux") return undefined;
  const found = output("sh", ["-c", "cat /sys/bus/pci/devices/*/uevent 2>/dev/null"]);
  if (found === undefined) return undefined;
  // a device's block: PCI_CLASS=30000 (display) or 30200 (3D), PCI_ID=10DE:...
  return /PCI_CLASS=30[02]\d\d\nPCI_ID=10DE:/i.test(found);
}

/** The processor and what a container leaves of it. */
export function cpu(): Facts["cpu"] {
  const model = os.cpus()[0]?.model.trim() || os.arch();
  return { model, threads: os.availableParallelism(), quota: cpuQuota(), flags: processorFlags() };
}

/** The memory and what a container leaves of it. */
export function memory(): Facts["memory"] {
  const total = os.totalmem();
  const limit = process.constrainedMemory();
  const available =
    Number(versionIn(text("/proc/meminfo"), /^MemAvailable:\s+(\d+) kB/m)) * 1024 || os.freemem();
  return { total, available, limit: limit > 0 && limit < total ? limit : undefined };
}

/** Free bytes where a folder is, or would be made. */
function free(folder: string): number | undefined {
  let nearest = path.resolve(folder);
  while (!existsSync(nearest) && nearest !== path.dirname(nearest)) nearest = path.dirname(nearest);
  try {
    const { bavail, bsize } = statfsSync(nearest);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

function container(): string | undefined {
  if (process.env["KUBERNETES_SERVICE_HOST"]) return "Kubernetes";
  if (existsSync("/run/.containerenv")) return "Podman";
  if (existsSync("/.dockerenv")) return "Docker";
  return /docker|containerd|lxc/.exec(text("/proc/1/cgroup") ?? "")?.[0];
}

function wsl(): Facts["wsl"] {
  const kernel = text("/proc/sys/kernel/osrelease") ?? "";
  if (!/microsoft/i.test(kernel)) return undefined;
  return {
    version: /WSL2|microsoft-standard/i.test(kernel) ? 2 : 1,
    onWindowsDisk: /^\/mnt\/[a-z]\//.test(process.cwd()),
  };
}

function shm(): number | undefined {
  try {
    const { blocks, bsize } = statfsSync("/dev/shm");
    return blocks * bsize;
  } catch {
    return undefined;
  }
}

function canLink(): boolean {
  const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-doctor-"));
  try {
    writeFileSync(path.join(folder, "a"), "");
    symlinkSync("a", path.join(folder, "b"));
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The facts of this machine. Takes a second or two: compilers are started and the addon is loaded. */
export async function probe(): Promise<Facts> {
  const { onPath, packageTool } = await toolsScript();
  const { env, platform } = process;
  const header = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;
  return {
    platform,
    arch: process.arch,
    node: process.versions.node,
    installed: buildCommand().startsWith("npx"),
    glibc: header.glibcVersionRuntime,
    packageTool: packageTool(),
    compiler: compiler(),
    cmake: versionIn(output("cmake", ["--version"]), /version (\d+\.\d+[.\d]*)/),
    buildTool: ["ninja", "make"].find((name) => onPath(name)),
    python: python(),
    libtorch: await libtorch(),
    addon: await probeAddon(),
    gpu: await gpu(),
    cpu: cpu(),
    memory: memory(),
    disk: { cache: free(cacheFolder()), here: free(".") },
    container: container(),
    shm: shm(),
    locale: env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || undefined,
    wsl: wsl(),
    windows: platform === "win32" ? { ...probeWindows(), symlinks: canLink() } : undefined,
    env: {
      LD_PRELOAD: env["LD_PRELOAD"],
      OMP_NUM_THREADS: env["OMP_NUM_THREADS"],
      ATEN_CPU_CAPABILITY: env["ATEN_CPU_CAPABILITY"],
      CUDA_VISIBLE_DEVICES: env["CUDA_VISIBLE_DEVICES"],
    },
  };
}

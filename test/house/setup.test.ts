// The set-up scripts on machines that lack something: each refusal is one line that says what to do.
// The scripts run as copies in a separate folder, so that nothing installed here is seen.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { atLeast, checkNode, checkPlatform } from "../../scripts/tools.mjs";

const scripts = fileURLToPath(new URL("../../scripts", import.meta.url));
let folder: string;
let bin: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), "qwen-pt-setup-")));
  bin = path.join(folder, "bin");
  mkdirSync(bin);
  mkdirSync(path.join(folder, "native"));
  writeFileSync(path.join(folder, "CMakeLists.txt"), "");
  cpSync(scripts, path.join(folder, "scripts"), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A command on PATH that prints `text` and exits with `status`. */
function command(name: string, text: string, status = 0): void {
  writeFileSync(path.join(bin, name), `#!/bin/sh\necho "${text}"\nexit ${status}\n`);
  chmodSync(path.join(bin, name), 0o755);
}

function run(script: string, env: Record<string, string> = {}, args: string[] = []) {
  const result = spawnSync(process.execPath, [path.join(folder, "scripts", script), ...args], {
    encoding: "utf8",
    env: { PATH: bin, HOME: folder, ...env },
  });
  return { status: result.status, lines: result.stderr.trim().split("\n") };
}

/** A folder that looks like libtorch of this version. */
function fakeLibtorch(version: string): string {
  const root = path.join(folder, `libtorch-${version}`);
  mkdirSync(path.join(root, "lib"), { recursive: true });
  for (const name of ["libtorch_cpu.so", "libtorch_cpu.dylib"])
    writeFileSync(path.join(root, "lib", name), "");
  writeFileSync(path.join(root, "version.py"), `__version__ = '${version}'\n`);
  return root;
}

describe.skipIf(process.platform === "win32")("finding libtorch", () => {
  it("takes LIBTORCH first", () => {
    const root = fakeLibtorch("2.13.0+cpu");
    const result = spawnSync(process.execPath, [path.join(folder, "scripts", "libtorch.mjs")], {
      encoding: "utf8",
      env: { PATH: bin, LIBTORCH: root, LIBTORCH_USE_PYTORCH: "1" },
    });
    expect(result.stdout.trim()).toBe(root);
  });

  it("refuses a LIBTORCH without libraries", () => {
    const { status, lines } = run("libtorch.mjs", { LIBTORCH: folder });
    expect(status).toBe(1);
    expect(lines).toEqual([expect.stringMatching(/^qwen-pt: LIBTORCH: .* has no lib\/libtorch_cpu/)]);
  });

  it("refuses one that is too old", () => {
    const { status, lines } = run("libtorch.mjs", { LIBTORCH: fakeLibtorch("2.4.1") });
    expect(status).toBe(1);
    expect(lines).toEqual([expect.stringContaining("libtorch 2.4.1 is too old: 2.11 or newer")]);
  });

  it("takes the active Python's torch when asked", () => {
    const root = fakeLibtorch("2.12.0");
    command("python", root);
    const result = spawnSync(process.execPath, [path.join(folder, "scripts", "libtorch.mjs")], {
      encoding: "utf8",
      env: { PATH: bin, LIBTORCH_USE_PYTORCH: "1" },
    });
    expect(result.stdout.trim()).toBe(root);
  });

  it("says which Python is needed", () => {
    expect(run("libtorch.mjs").lines.at(-1)).toMatch(/Python was not found: 3\.10 or newer is needed.*: \S/);
    command("python3", "Python 3.8.10");
    const { status, lines } = run("libtorch.mjs");
    expect(status).toBe(1);
    expect(lines.at(-1)).toMatch(/Python 3\.8\.10 is too old: 3\.10 or newer/);
  });

  it("says that the venv module is missing, after the download's size", () => {
    writeFileSync(
      path.join(bin, "python3"),
      '#!/bin/sh\n[ "$1" = --version ] && { echo Python 3.11.2; exit 0; }\necho "ensurepip is not available"; exit 1\n',
    );
    chmodSync(path.join(bin, "python3"), 0o755);
    command("apt", "");
    const { status, lines } = run("libtorch.mjs");
    expect(status).toBe(1);
    expect(lines[0]).toMatch(/about (200 MB|2\.5 GB)/);
    expect(lines[1]).toBe("qwen-pt: Python's venv module was not found: sudo apt install python3-venv");
  });
});

describe.skipIf(process.platform !== "linux")("what pip is asked for", () => {
  /** A Python whose pip logs what it is asked for, finds nothing, and is configured as `config` says. */
  function fakePython(config: string): string {
    const log = path.join(folder, "asked");
    const pip = [
      "#!/bin/sh",
      `case "$*" in *"config list"*) echo "${config}"; exit 0;; esac`,
      `echo "$*" >> ${log}; exit 1`,
    ].join("\n");
    const python = [
      "#!/bin/sh",
      '[ "$1" = --version ] && { echo Python 3.11.2; exit 0; }',
      '/bin/mkdir -p "$3/bin"',
      `/bin/cat > "$3/bin/python" <<'END'\n${pip}\nEND`,
      '/bin/chmod 755 "$3/bin/python"',
    ].join("\n");
    writeFileSync(path.join(bin, "python3"), `${python}\n`);
    chmodSync(path.join(bin, "python3"), 0o755);
    return log;
  }
  const asked = (log: string) =>
    readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.replace(/^.*--report - /, ""));

  it.skipIf(existsSync("/proc/driver/nvidia/version"))(
    "its own index, PyTorch's for CPUs, the plain wheel",
    () => {
      const log = fakePython("global.timeout='10'");
      const { status, lines } = run("libtorch.mjs");
      expect(status).toBe(1);
      expect(lines.at(-1)).toMatch(/pip found no torch==2\.13\.0.*or set LIBTORCH/);
      expect(asked(log)).toEqual([
        "--no-deps torch==2.13.0+cpu",
        expect.stringMatching(/^--no-deps --index-url https:\/\/\S+\/whl\/cpu torch==2\.13\.0\+cpu$/),
        "--no-deps torch==2.13.0",
      ]);
    },
  );

  it.skipIf(existsSync("/proc/driver/nvidia/version"))("nothing but the index that pip is told", () => {
    const log = fakePython("global.index-url='https://mirror.example/index'");
    run("libtorch.mjs");
    expect(asked(log)).toEqual(["--no-deps torch==2.13.0+cpu", "--no-deps torch==2.13.0"]);
  });

  it("the wheel with CUDA and its libraries where an NVIDIA driver is", () => {
    const log = fakePython("");
    command("nvidia-smi", "NVIDIA H100 80GB HBM3, 580.65.06, 9.0, 81559 MiB");
    expect(run("libtorch.mjs").lines[0]).toMatch(/about 2\.5 GB, with CUDA/);
    expect(asked(log)).toEqual([
      "torch==2.13.0+cu130",
      "torch==2.13.0", // on Linux the index's own wheel is that build
      expect.stringMatching(/^--index-url https:\/\/\S+\/whl\/cu130 torch==2\.13\.0\+cu130$/),
    ]);
  });

  it("an older CUDA where the driver or the card is too old for the newest", () => {
    const log = fakePython("global.index-url='https://mirror.example/index'");
    command("nvidia-smi", "NVIDIA A100-SXM4-80GB, 535.104.05, 8.0, 81920 MiB");
    const { lines } = run("libtorch.mjs");
    expect(lines[0]).toContain("driver 535.104.05 is older than 580, which CUDA 13.0 needs");
    expect(lines.at(-1)).toMatch(/no torch==2\.13\.0 of the build cu126, which https:\S+cu126 has/);
    expect(asked(log)).toEqual(["torch==2.13.0+cu126"]);
  });
});

describe.skipIf(process.platform !== "linux")("building the addon", () => {
  const build = () => run("build.mjs", { LIBTORCH: fakeLibtorch("2.13.0") }, ["--addon"]);

  it("says what is missing, one thing at a time", () => {
    expect(build()).toEqual({
      status: 1,
      lines: [expect.stringMatching(/CMake was not found.*install cmake/)],
    });
    command("cmake", "cmake version 3.10.2");
    expect(build().lines).toEqual([expect.stringMatching(/CMake 3\.10\.2 is too old: 3\.18/)]);
    command("cmake", "cmake version 3.25.1");
    expect(build().lines).toEqual([expect.stringMatching(/no C\+\+ compiler \(g\+\+\) was found.*g\+\+/)]);
    command("g++", "g++ (Debian 9.3.0) 9.3.0");
    expect(build().lines).toEqual([expect.stringMatching(/g\+\+ 9\.3\.0 is too old for C\+\+20/)]);
    command("g++", "g++ (Debian 12.2.0) 12.2.0");
    expect(build().lines).toEqual([expect.stringMatching(/make was not found.*install make/)]);
  });

  it("names the package tool that this system has", () => {
    command("dnf", "");
    expect(build().lines).toEqual([expect.stringMatching(/sudo dnf install cmake$/)]);
  });
});

describe("the platform", () => {
  it("compares versions by number", () => {
    expect(atLeast("3.9", "3.10")).toBe(false);
    expect(atLeast("3.18", "3.18")).toBe(true);
    expect(atLeast("20.19.0", "20.19")).toBe(true);
    expect(atLeast("22.1.0", "20.19")).toBe(true);
  });

  it("refuses an old Node", () => {
    expect(() => checkNode("20.18.3")).toThrow("Node 20.18.3 is too old: 20.19 or newer is needed");
    expect(() => checkNode("22.0.0")).not.toThrow();
  });

  it("refuses musl with the reason", () => {
    expect(() => checkPlatform("linux", () => ({ header: {} }))).toThrow(/musl \(Alpine\).*glibc/);
    expect(() => checkPlatform("linux", () => ({ header: { glibcVersionRuntime: "2.36" } }))).not.toThrow();
  });
});

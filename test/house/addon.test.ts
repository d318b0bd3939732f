// How the addon is built, whichever tool built it: the two build files agree, and libtorch's OpenMP runtime is the
// only one in the process (a second would bring a second team of threads).
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { addonPath } from "../../lib/torch/native.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const cmake = readFileSync(path.join(root, "CMakeLists.txt"), "utf8");
const gyp = readFileSync(path.join(root, "binding.gyp"), "utf8");

describe("the two build files", () => {
  it("define the same names", () => {
    const names =
      /\b(NAPI_VERSION=\d+|NAPI_CPP_EXCEPTIONS|NODE_[A-Z_]+(?<!_BINARY|_INCLUDE|_RUNTIME)|_GLIBCXX\w+=\d|NOMINMAX|_USE_MATH_DEFINES)\b/g;
    const own = (text: string) =>
      [...new Set(text.match(names))].filter((name) => !/^NODE_(EXE|API)$/.test(name)).sort();
    expect(own(gyp)).toEqual(own(cmake).filter((name) => name !== "NODE_ADDON_API_INCLUDE"));
    expect(own(gyp)).toContain("NAPI_VERSION=9");
  });

  it("compile kernels with the same processor flags", () => {
    const flags = (text: string) => [...new Set(text.match(/-m(avx|fma|f16c)\w*/g))].sort();
    expect(flags(gyp)).toEqual(flags(cmake));
    expect(flags(gyp)).toContain("-mavx512bf16");
  });

  it("see the same sources: every C++ file, in whatever folder", () => {
    // these are built by themselves: by no build file, and by CMake alone
    const apart = ["native/cuda_graph", "native/environment", "native/nccl"];
    const found = readdirSync(path.join(root, "native"), { recursive: true, encoding: "utf8" })
      .map((name) => `native/${name.split(path.sep).join("/")}`)
      .filter((name) => name.endsWith(".cc") && !apart.includes(path.posix.dirname(name)));
    const listed = ["any", "avx2", "avx2vnni", "avx512", "avx512vnni", "text", "distributed"].flatMap(
      (capability) =>
        spawnSync(process.execPath, ["scripts/sources.mjs", capability], { cwd: root, encoding: "utf8" })
          .stdout.split("\n")
          .filter((name) => name !== ""),
    );
    // the main addon and the one that tokenizes both read JSON
    expect(listed.sort()).toEqual([...found, "native/files/json_scanner.cc"].sort());
    expect(found).toContain("native/addon.cc");
    const globs = [...cmake.matchAll(/native\/[\w*/]*\*\.cc/g)].map(
      ([glob]) => new RegExp(`^${glob.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}$`),
    );
    expect(found.filter((name) => !globs.some((glob) => glob.test(name)))).toEqual([]);
  });
});

describe.skipIf(process.platform !== "linux")("the addon in a process", () => {
  it("that tokenizes brings no libtorch", () => {
    const file = path.join(path.dirname(addonPath()!), "qwen_pt_text.node");
    const script = `
      const addon = require(${JSON.stringify(file)});
      const maps = require("fs").readFileSync("/proc/self/maps", "utf8");
      console.log(Object.keys(addon).length > 0 && !/libtorch|libc10|libgomp/.test(maps));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
    expect([stdout.trim(), stderr]).toEqual(["true", ""]);
  });

  it("maps exactly one OpenMP runtime, and it is libtorch's", () => {
    const script = `
      require(${JSON.stringify(addonPath())});
      const maps = require("fs").readFileSync("/proc/self/maps", "utf8").split("\\n").map((line) => line.slice(73));
      const files = [...new Set(maps.filter((file) => /lib(gomp|iomp5|omp)[.-]/.test(file)))];
      const torch = maps.find((file) => file.endsWith("/libtorch_cpu.so"));
      console.log(JSON.stringify({ files, torch }));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
    expect(stderr).toBe("");
    const { files, torch } = JSON.parse(stdout) as { files: string[]; torch: string };
    expect(files).toHaveLength(1);
    const site = path.resolve(path.dirname(torch), "..", "..");
    expect(files[0]).toMatch(new RegExp(`^${site}`));
  });
});

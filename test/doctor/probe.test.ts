// The doctor on this machine: facts that other tools confirm, the command's lines and exit codes.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "../../lib/cli/commands/doctor.js";
import { type Facts, probe } from "../../lib/doctor/index.js";
import { capabilitiesIn } from "../../lib/doctor/probe-addon.js";
import { addonRecord, buildInfo } from "../../lib/torch/index.js";
import { FakeHost } from "../cli/program.js";

const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-doctor-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the facts of this machine", () => {
  it("are those that other programs report", async () => {
    const facts = await probe();
    expect(facts.node).toBe(process.versions.node);
    expect(facts.libtorch?.version).toBe(addonRecord().version);
    expect(facts.addon.loaded?.libtorch).toBe(buildInfo().builtWith);
    expect(facts.addon.loaded?.cpuCapability).toBe(buildInfo().cpuCapability);
    expect(facts.installed).toBe(false);
    if (process.platform !== "linux") return;
    expect(facts.addon.loaded?.openmp).toEqual(["libgomp.so.1"]);
    expect(facts.libtorch?.cxx11).toBe(true);
    const cmake = execFileSync("cmake", ["--version"], { encoding: "utf8" });
    expect(cmake).toContain(`version ${facts.cmake}`);
    const compiler = execFileSync("g++", ["-dumpfullversion"], { encoding: "utf8" }).trim();
    expect(facts.compiler).toEqual({ kind: "gcc", version: compiler, cxx20: true });
    const python = execFileSync("python3", ["--version"], { encoding: "utf8" });
    expect(python).toContain(facts.python?.version);
    const free = execFileSync("df", ["-B1", "--output=avail", "."], { encoding: "utf8" }).split("\n")[1];
    expect(Math.abs((facts.disk.here ?? 0) - Number(free))).toBeLessThan(2 ** 30);
  });

  it("an addon that cannot be loaded is a fact, not an end", async () => {
    const file = path.join(folder, "broken.node");
    writeFileSync(file, "not a library");
    const before = process.env["QWEN_PT_ADDON"];
    process.env["QWEN_PT_ADDON"] = file;
    const { addon } = await probe().finally(() => {
      if (before === undefined) delete process.env["QWEN_PT_ADDON"];
      else process.env["QWEN_PT_ADDON"] = before;
    });
    expect(addon.loaded).toBeUndefined();
    expect(addon.error).toContain("cannot be loaded");
  });

  it("reads the compute capabilities from libtorch's description of its build", () => {
    const config =
      "  - NVCC architecture flags: -gencode;arch=compute_75,code=sm_75;-gencode;arch=compute_120,code=sm_120\n";
    expect(capabilitiesIn(config)).toEqual(["7.5", "12.0"]);
    expect(capabilitiesIn("PyTorch built with: GCC 13.3")).toBeUndefined();
  });
});

describe("the command", () => {
  it("prints a line a check", async () => {
    const host = new FakeHost();
    const code = await run([], host);
    const lines = host.text.trimEnd().split("\n");
    expect(lines.slice(0, -1).every((line) => /^(ok|warning|problem) +\S/.test(line))).toBe(true);
    expect(lines.filter((line) => line.startsWith("problem"))).toEqual([]);
    expect(lines.at(-1)).toMatch(/^no problem/);
    expect(code).toBe(0);
  });

  it("--json gives findings and facts; exit 1 where there is a problem", async () => {
    const before = process.env["QWEN_PT_ADDON"];
    process.env["QWEN_PT_ADDON"] = path.join(folder, "absent.node");
    const host = new FakeHost();
    const code = await run(["--json"], host).finally(() => {
      if (before === undefined) delete process.env["QWEN_PT_ADDON"];
      else process.env["QWEN_PT_ADDON"] = before;
    });
    const { findings, facts } = JSON.parse(host.text) as {
      findings: { check: string; state: string }[];
      facts: Facts;
    };
    expect(code).toBe(1);
    expect(findings).toContainEqual(expect.objectContaining({ check: "Addon", state: "problem" }));
    expect(facts.addon.built).toBe(false);
  });
});

// `doctor --gpu` where there is no GPU: the same examination of the processor, the report it writes, and what it says
// of a device whose results are wrong.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { run } from "../../lib/cli/commands/doctor.js";
import { parityOf } from "../../lib/doctor/gpu/compare.js";
import { operatorParity } from "../../lib/doctor/gpu/operators.js";
import { describeMachine, type GpuReport, reportMarkdown, scrubbed } from "../../lib/doctor/gpu/report.js";
import { QWEN3_06B, SMALL, timings } from "../../lib/doctor/gpu/timings.js";
import type * as Nn from "../../lib/nn/index.js";
import { randn, type Tensor, tensor } from "../../lib/torch/index.js";
import { FakeHost } from "../cli/program.js";
import { healthy, withCard } from "./machines.js";

/** What this test makes of causal attention: a device on which it is wrong in one dtype, or missing. */
let fault: ((query: Tensor) => number) | undefined;
vi.mock("../../lib/nn/index.js", async (original) => {
  const nn = await original<typeof Nn>();
  const causalAttention: typeof nn.causalAttention = (query, ...rest) => {
    const result = nn.causalAttention(query, ...rest);
    return fault === undefined ? result : result.mul(fault(query));
  };
  return { ...nn, causalAttention };
});
beforeEach(() => {
  fault = undefined;
});

const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-gpu-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const trained = existsSync(new URL("../../examples/model/model.safetensors", import.meta.url));
const file = (ending: string) => path.join(folder, `qwen-pt-gpu-report.${ending}`);

const doctor = async (...args: string[]) => {
  const host = new FakeHost();
  const { dispatch } = await import("../../lib/cli/dispatch.js");
  const code = await dispatch(["doctor", ...args], host);
  return { code, out: host.text, err: host.errors };
};

describe("the examination", () => {
  it("of the processor agrees, and writes a report that names nobody", async () => {
    const host = new FakeHost();
    const code = await run(["--gpu", "--device", "cpu", "--quick", "--output", folder], host);
    const report = JSON.parse(readFileSync(file("json"), "utf8")) as GpuReport;
    const failed = [...report.parity, ...report.runs].filter(({ passed }) => !passed);
    expect(failed).toEqual([]);
    expect(code).toBe(0);
    expect(host.text).toMatch(/^\d+ checks agree, 21 operators timed\n$/);
    // float32 is not float64: a comparison of nothing with nothing would give zeros
    const distances = report.parity
      .filter(({ name, dtype }) => dtype !== "float64" && !name.includes("8-bit floats")) // no float64 of these
      .map(({ distance }) => distance);
    expect(distances.length).toBeGreaterThan(25);
    expect(distances.every((distance) => (distance as number) > 1e-9)).toBe(true);
    for (const { losses, tokensPerSecond } of report.runs) {
      expect(losses).toHaveLength(4);
      // random weights are about uniform over the vocabulary; those of the example model know better
      if (trained) expect(losses[0]).toBeLessThan(8);
      else expect(losses[0]).toBeCloseTo(Math.log(8192), 0);
      expect(tokensPerSecond).toBeGreaterThan(0);
    }
    expect(report.timings.every(({ milliseconds }) => milliseconds > 0)).toBe(true);
    const markdown = readFileSync(file("md"), "utf8");
    expect(markdown).toContain("# qwen-pt 0.");
    expect(markdown).toContain("on cpu: everything agrees");
    for (const text of [markdown, readFileSync(file("json"), "utf8")]) {
      expect(text).not.toContain(os.hostname());
      expect(text).not.toMatch(/(^|[\s"'`(|])(\/(home|root|tmp|Users|work)\/|[A-Z]:\\)/);
    }
  });

  it("names the operator that is wrong on a device, and goes on", () => {
    fault = (query) => (query.dtype === "float32" ? 1.002 : 1);
    const failed = operatorParity("cpu").filter(({ passed }) => !passed);
    expect(failed.map(({ name, dtype }) => `${name} ${dtype}`)).toEqual([
      "causal attention float32",
      "causal attention, packed documents float32",
    ]);
    expect(failed[0].distance).toBeGreaterThan(1e-3);
  });

  it("an operator that a device does not have is a failed comparison with its message", () => {
    fault = (query) => {
      if (query.dtype === "bfloat16") throw new Error("not implemented for 'BFloat16'");
      return 1;
    };
    const failed = operatorParity("cpu").filter(({ passed }) => !passed);
    expect(failed.map(({ error }) => error)).toEqual(Array(2).fill("not implemented for 'BFloat16'"));
    const timed = timings("cpu", SMALL).filter(({ error }) => error !== undefined);
    expect(timed.map(({ name, dtype }) => [name, dtype])).toEqual([
      ["causal attention, forward and backward", "bfloat16"],
    ]);
  });

  it("counts arithmetic as Qwen3-0.6B's shapes have it", () => {
    // 2 * 1024 tokens * (2 * 1024^2 * 2 + 2 * 1024^2 + 3 * 1024 * 3072) parameters of a block's products
    const { tokens: t, hidden: h, heads, kvHeads, headDim: d, intermediate: m } = QWEN3_06B;
    expect(2 * t * (h * heads * d * 2 + 2 * h * kvHeads * d + 3 * h * m) * 28).toBeCloseTo(0.902e12, -10);
    const [first] = timings("cpu", SMALL);
    const flop = 2 * SMALL.tokens * SMALL.hidden * SMALL.heads * SMALL.headDim;
    expect(first.teraflops).toBeCloseTo(flop / (first.milliseconds / 1000) / 1e12, 9);
  });

  it("a NaN is not near anything", () => {
    const reference = tensor([1, 2]);
    const nan = tensor([Number.NaN, 2]);
    expect(
      parityOf("x", "float32", [
        ["value", nan, reference],
        ["gradient", reference, reference],
      ]).passed,
    ).toBe(false);
    expect(parityOf("x", "float32", [["value", reference, reference]])).toMatchObject({
      distance: 0,
      passed: true,
    });
    const x = randn([100], { dtype: "float64" });
    expect(parityOf("x", "float64", [["value", x.mul(1 + 1e-6), x]]).distance).toBeCloseTo(1e-6, 9);
  });
});

describe("the report", () => {
  it("describes a machine in its makers' words", () => {
    expect(describeMachine(withCard)).toMatchObject({
      "GPU 0": "NVIDIA GeForce RTX 4090, 8.9, 24.0 GiB, driver 580.65.06",
      libtorch: "2.13.0+cu130, CUDA 13.0",
      Node: "22.12.0",
    });
  });

  it("loses names of users and places, the longest first", () => {
    const names = { "/h/someone": "~", "/h/someone/work": ".", someone: "user" };
    expect(scrubbed("cannot open /h/someone/work/a.json of someone in /h/someone", names)).toBe(
      "cannot open ./a.json of user in ~",
    );
  });

  it("says in its title that something failed, and keeps a message inside its table", () => {
    const parity = [{ name: "x", dtype: "float32" as const, bound: 1e-5, passed: false, error: "a\nb | c" }];
    const report = {
      version: "0",
      date: "d",
      device: "cuda:0",
      machine: describeMachine(healthy),
      parity,
      runs: [],
      timings: [],
      passed: false,
    };
    const markdown = reportMarkdown(report);
    expect(markdown).toContain("# qwen-pt 0 on cuda:0: 1 check failed");
    expect(markdown).toContain("| x | float32 | a b \\| c | 1.0e-5 | **no** |");
  });
});

describe("refusals, in one line", () => {
  it.skipIf(existsSync("/proc/driver/nvidia/version"))("no card: says so and why", async () => {
    expect(await doctor("--gpu")).toEqual({
      code: 1,
      out: "",
      err: expect.stringMatching(/^error: doctor --gpu: no CUDA device is visible: [^\n]+\n$/),
    });
  });

  it.each([
    [["--gpu", "--device", "tpu"], /--device tpu: it is cpu or cuda:0/],
    [["--quick"], /--quick goes with --gpu/],
    [["--device", "cpu"], /--device goes with --gpu/],
    [["now"], /doctor takes options only, not now/],
  ])("%j", async (args, line) => {
    expect((await doctor(...args)).err).toMatch(line);
  });
});

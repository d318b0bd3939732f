// How many threads compute and how they wait: what control groups allow, what OpenMP is told before it is loaded, in
// real processes, and words in the environment that nobody means.
import { rmSync } from "node:fs";
import os from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cpuQuota } from "../../lib/torch/machine/cpu-quota.js";
import { excessiveCapability, processorKind } from "../../lib/torch/machine/processor.js";
import { threadSettings, threadsFor } from "../../lib/torch/machine/thread-settings.js";
import { buildProgram } from "../cli/program.js";
import { runTorch } from "./processes.js";

/** A machine's files by their paths. */
const machine = (files: Record<string, string>) => (file: string) => files[file];

const V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const V1 = [
  "33 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
  "34 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
].join("\n");

describe("the quota of control groups", () => {
  it.each([
    ["no control groups", {}, undefined],
    [
      "version 2, a container's own root",
      {
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": V2,
        "/sys/fs/cgroup/cpu.max": "50000 100000\n",
      },
      0.5,
    ],
    [
      "version 2 without a limit",
      { "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": V2, "/sys/fs/cgroup/cpu.max": "max 100000\n" },
      undefined,
    ],
    [
      "version 2, a group in a group with less",
      {
        "/proc/self/cgroup": "0::/user.slice/job/step\n",
        "/proc/self/mountinfo": V2,
        "/sys/fs/cgroup/user.slice/job/step/cpu.max": "400000 100000\n",
        "/sys/fs/cgroup/user.slice/job/cpu.max": "150000 100000\n",
        "/sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
      },
      1.5,
    ],
    [
      "version 1",
      {
        "/proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/jobs/one\n",
        "/proc/self/mountinfo": V1,
        "/sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "200000\n",
        "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
      },
      2,
    ],
    [
      "version 1 in a container that sees its group as the root",
      {
        "/proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n",
        "/proc/self/mountinfo": V1.replace("0:30 / ", "0:30 /docker/abc "),
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
      },
      2.5,
    ],
    [
      "version 2, a group outside of what is mounted",
      {
        "/proc/self/cgroup": "0::/../other\n",
        "/proc/self/mountinfo": V2,
        "/sys/fs/cgroup/cpu.max": "100000 100000\n",
      },
      1,
    ],
  ])("%s", (_, files, quota) => {
    expect(cpuQuota(machine(files))).toBe(quota);
  });
});

describe("what OpenMP is told", () => {
  it("rounds a share of the machine up, and leaves a whole machine alone", () => {
    expect([threadsFor(0.5, 8), threadsFor(1.5, 8), threadsFor(8, 8), threadsFor(undefined, 8)]).toEqual([
      1,
      2,
      undefined,
      undefined,
    ]);
  });

  it("says how long to spin unless the user has", () => {
    expect(threadSettings({}, undefined, 2)).toEqual({ GOMP_SPINCOUNT: "3000" });
    expect(threadSettings({ OMP_WAIT_POLICY: "active" }, undefined, 2)).toEqual({
      OMP_WAIT_POLICY: "active",
    });
    expect(threadSettings({ GOMP_SPINCOUNT: "7" }, undefined, 2)).toEqual({ GOMP_SPINCOUNT: "7" });
  });

  it("keeps the user's number of threads above a quota, and a word that is no number below it", () => {
    const threads = (said: string) => threadSettings({ OMP_NUM_THREADS: said }, 0.5, 8)["OMP_NUM_THREADS"];
    expect(["4", "4,2", "0", "abc", ""].map(threads)).toEqual(["4", "4,2", "1", "1", "1"]);
  });
});

describe("kinds of processors", () => {
  const avx2 = ["sse2", "fma", "avx2"];
  const avx512 = [...avx2, "avx512f", "avx512vl", "avx512bw", "avx512dq"];
  it.each([
    ["older", ["sse2"]],
    ["AVX2", avx2],
    ["AVX-VNNI", [...avx2, "avx_vnni"]],
    ["AVX-512 without BF16", [...avx512, "avx512_vnni"]],
    ["AVX512_BF16", [...avx512, "avx512_bf16"]],
    ["AMX", [...avx512, "avx512_bf16", "amx_bf16", "amx_tile"]],
  ])("%s", (kind, flags) => {
    expect(processorKind(flags, "x64")).toBe(kind);
  });

  it("arm64 is a kind, and others are unknown", () => {
    expect([processorKind([], "arm64"), processorKind([], "s390x")]).toEqual(["arm64", undefined]);
  });

  it("refuses a capability that the processor lacks, and leaves words that mean nothing to libtorch", () => {
    expect(excessiveCapability("avx512", avx2, "x64")).toMatch(
      /^ATEN_CPU_CAPABILITY=avx512: .* avx512f: unset/,
    );
    expect(excessiveCapability("avx2", ["sse2"], "x64")).toMatch(/no avx2/);
    for (const asked of [undefined, "avx2", "default", "bogus"])
      expect(excessiveCapability(asked, avx2, "x64")).toBeUndefined();
  });
});

const isLinux = process.platform === "linux";

describe.runIf(isLinux)("real processes", () => {
  let program: string;
  beforeAll(async () => {
    program = await buildProgram();
  });
  afterAll(() => rmSync(program, { recursive: true }));

  /** Computes a product and says how many threads did; `OMP_DISPLAY_ENV` makes libgomp say what it read. */
  const compute = `
    const a = torch.ones([200, 200]);
    console.log(a.matmul(a).sum().item(), "threads", torch.getNumThreads());`;
  const inWorker = `
    import { Worker } from "node:worker_threads";
    const source = \`import(\${JSON.stringify(url)}).then((torch) => console.log(torch.getNumThreads()))\`;
    new Worker(source, { eval: true });`;
  const plain = {
    OMP_NUM_THREADS: undefined,
    OMP_WAIT_POLICY: undefined,
    GOMP_SPINCOUNT: undefined,
    ATEN_CPU_CAPABILITY: undefined,
  };
  const shown = { ...plain, OMP_DISPLAY_ENV: "verbose" };

  it.each([
    ["the main thread", compute],
    ["a worker, whose process.env C does not see", inWorker],
  ])("threads spin for a short time, told from %s", async (_, body) => {
    const { code, err } = await runTorch(program, body, { env: shown });
    expect(code).toBe(0);
    expect(err).toMatch(/GOMP_SPINCOUNT = '3000'/);
  });

  it("the user's own policy stands", async () => {
    const { err } = await runTorch(program, compute, { env: { ...shown, OMP_WAIT_POLICY: "active" } });
    expect(err).toMatch(/OMP_WAIT_POLICY = 'ACTIVE'/);
    expect(err).not.toMatch(/GOMP_SPINCOUNT = '3000'/);
  });

  it.each([
    ["OMP_NUM_THREADS", "0", /Invalid value for environment variable OMP_NUM_THREADS/],
    ["OMP_NUM_THREADS", "abc", /Invalid value for environment variable OMP_NUM_THREADS/],
    ["ATEN_CPU_CAPABILITY", "bogus", /ignoring invalid value for ATEN_CPU_CAPABILITY: bogus/],
  ])("%s=%s computes, and one line says what is ignored", async (name, value, line) => {
    const { code, out, err } = await runTorch(program, compute, { env: { ...plain, [name]: value } });
    expect([code, out.split(" ")[0]]).toEqual([0, "8000000"]);
    expect(err.trim().split("\n")).toEqual([expect.stringMatching(line)]);
  });

  it.runIf(os.availableParallelism() > 1)("an affinity mask of one processor is one thread", async () => {
    const script = `import { spawnSync } from "node:child_process";
      const pid = String(process.pid);
      const set = spawnSync("taskset", ["-a", "-c", "-p", "0", pid], { encoding: "utf8" });
      if (set.status !== 0) throw new Error(set.stderr);
      const { getNumThreads } = await import(url);
      console.log(getNumThreads());`;
    // the binding's import above loads no addon: the mask is there before libtorch
    const { out, err } = await runTorch(program, script, { env: plain });
    expect([out, err]).toEqual(["1\n", ""]);
  });

  it("a quota of half a processor is one thread", async () => {
    // the files of a container, read in place of this machine's
    const files = {
      "/proc/self/cgroup": "0::/\n",
      "/proc/self/mountinfo": V2,
      "/sys/fs/cgroup/cpu.max": "50000 100000\n",
    };
    const preload = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
      const files = ${JSON.stringify(files)}; const read = fs.readFileSync;
      fs.readFileSync = (file, ...more) => files[file] ?? read(file, ...more); syncBuiltinESMExports();`;
    const execArgv = ["--import", `data:text/javascript,${encodeURIComponent(preload)}`];
    for (const [said, threads] of [
      [undefined, 1],
      ["abc", 1],
      ["2", Math.min(2, os.availableParallelism())],
    ] as const) {
      const env = { ...plain, OMP_NUM_THREADS: said };
      const { code, out } = await runTorch(program, compute, { execArgv, env });
      expect([code, out]).toEqual([0, `8000000 threads ${threads}\n`]);
    }
  });

  it("a processor without AVX-512 refuses to be one, in one line", async () => {
    const flags = "processor: 0\nflags : sse2 fma avx2\n";
    const preload = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module"; const read = fs.readFileSync;
      fs.readFileSync = (file, ...more) => file === "/proc/cpuinfo" ? ${JSON.stringify(flags)} : read(file, ...more); syncBuiltinESMExports();`;
    const execArgv = ["--import", `data:text/javascript,${encodeURIComponent(preload)}`];
    const env = { ...plain, ATEN_CPU_CAPABILITY: "avx512" };
    const asked = `try { torch.ones([1]); } catch (error) { console.log(error.name + ": " + error.message); }`;
    const { out } = await runTorch(program, asked, { execArgv, env });
    expect(out).toMatch(
      /^UserError: ATEN_CPU_CAPABILITY=avx512: this processor has no avx512f: unset the variable\n$/,
    );
  });
});

// What the doctor says of machines that this one is not: recorded facts, one thing wrong with each.
import { beforeAll, describe, expect, it } from "vitest";
import { diagnose, type Facts, type Rules, rulesOf, whyNoDevice } from "../../lib/doctor/index.js";
import type { ProductKind, ProductKinds } from "../../lib/torch/index.js";
import { AVX2, AVX512, bare, cardOf, healthy, windows, withCard } from "./machines.js";

const GIB = 1024 ** 3;
let rules: Rules;
beforeAll(async () => {
  rules = await rulesOf();
});

const kinds = (frozen: ProductKind, other: ProductKind): ProductKinds => ({
  processor: "",
  frozen: { bfloat16: frozen, float16: other },
  other: { bfloat16: other, float16: other },
});

/** "state check: text: remedy" of everything that is not in order. */
const wrong = (facts: Facts): string[] =>
  diagnose(facts, rules)
    .filter(({ state }) => state !== "ok")
    .map(({ check, state, text, remedy }) => `${state} ${check}: ${text}: ${remedy}`);

describe("machines in order", () => {
  it.each([
    ["Linux", healthy],
    ["Linux with a card", withCard],
    ["Windows", windows],
    ["a clone", { ...healthy, installed: false }],
  ])("%s", (_, facts) => {
    expect(wrong(facts)).toEqual([]);
  });

  it("each check says something, in one line", () => {
    for (const facts of [healthy, withCard, windows]) {
      const findings = diagnose(facts, rules);
      expect(new Set(findings.map(({ check }) => check)).size).toBe(findings.length);
      expect(findings.filter(({ text }) => text === "" || /\n|undefined|NaN/.test(text))).toEqual([]);
    }
  });
});

describe("kinds of processors", () => {
  const said = (flags: readonly string[], products?: ProductKinds, change: Partial<Facts> = {}) => {
    const loaded = { ...healthy.addon.loaded!, products };
    const addon = { ...healthy.addon, loaded };
    const facts = { ...healthy, cpu: { model: "CPU", threads: 4, flags }, addon, ...change };
    const found = diagnose(facts, rules).find(({ check }) => check === "Processor");
    return `${found?.state} ${found?.text}`;
  };

  it.each([
    [AVX2, kinds("panels", "panels"), "ok CPU, 4 threads, AVX2: fp32 products of bf16 weights"],
    [
      [...AVX2, "avx_vnni"],
      kinds("int16", "panels"),
      "ok CPU, 4 threads, AVX-VNNI: int16 products of frozen bf16 weights, fp32 of trained ones",
    ],
    [
      AVX512,
      kinds("int16", "panels"),
      "ok CPU, 4 threads, AVX-512 without BF16: int16 products of frozen bf16 weights, fp32 of trained ones",
    ],
    [
      [...AVX512, "avx512_bf16"],
      kinds("native", "native"),
      "ok CPU, 4 threads, AVX512_BF16: bf16 products of bf16 weights",
    ],
    [
      [...AVX512, "avx512_bf16", "amx_tile", "amx_bf16"],
      kinds("native", "native"),
      "ok CPU, 4 threads, AMX: bf16 products of bf16 weights",
    ],
    [AVX2, undefined, "ok CPU, 4 threads, AVX2"],
  ])("%j", (flags, products, line) => {
    expect(said(flags, products)).toBe(line);
  });

  it("a quota within which as many threads compute is in order", () => {
    const of = (env: Facts["env"]) =>
      diagnose({ ...healthy, cpu: { ...healthy.cpu, quota: 2.5 }, env }, rules).find(
        ({ check }) => check === "Threads",
      );
    expect(of({})).toMatchObject({
      state: "ok",
      text: "this container may use 2.5 of 8 processors: 3 compute",
    });
    expect(of({ OMP_NUM_THREADS: "1" })?.text).toMatch(/: 1 compute$/);
  });
});

describe("a machine without tools", () => {
  it("names each with the command of its package tool", () => {
    expect(wrong(bare)).toEqual([
      "problem Compiler: no C++ compiler was found: sudo apt install g++",
      "problem CMake: not found: sudo apt install cmake",
      "problem Make: neither ninja nor make was found: sudo apt install make",
      "problem Python: not found: sudo apt install python3 python3-venv",
      "problem libtorch: none was found: npx qwen-pt setup, or LIBTORCH=/path",
      "problem Addon: has not been built: npx qwen-pt setup",
    ]);
    expect(wrong({ ...bare, packageTool: "dnf" })[0]).toMatch(/sudo dnf install gcc-c\+\+$/);
    expect(wrong({ ...bare, platform: "darwin", glibc: undefined })[0]).toMatch(/xcode-select --install$/);
    const onWindows = wrong({ ...bare, platform: "win32", windows: windows.windows });
    expect(onWindows[0]).toMatch(/winget install Microsoft\.VisualStudio\.2022\.BuildTools$/);
    expect(onWindows.filter((line) => line.includes(" Make:"))).toEqual([]);
  });

  it("only warns where the addon works without them", () => {
    expect(wrong({ ...healthy, cmake: undefined, python: undefined })).toEqual([
      "warning CMake: not found (not needed until the next build): sudo apt install cmake",
      expect.stringMatching(/^warning Python: not found \(only needed to fetch libtorch, which is here\)/),
    ]);
  });
});

describe("one thing wrong", () => {
  const addon = { built: false };
  const loaded = healthy.addon.loaded!;
  it.each<[string, Partial<Facts>, RegExp]>([
    ["Node", { node: "18.20.0" }, /^problem Node: 18\.20\.0 is too old: install 20\.19/],
    ["32 bits", { arch: "ia32" }, /^problem Node: .*64-bit/],
    ["musl", { glibc: undefined }, /^problem C library: not glibc.*Debian/],
    [
      "an old g++",
      { addon, compiler: { kind: "gcc", version: "9.4.0" } },
      /^problem Compiler: g\+\+ 9\.4\.0 is too old for C\+\+20: 11/,
    ],
    [
      "clang",
      { addon, compiler: { kind: "clang", version: "15.0" } },
      /^problem Compiler: CXX is clang.*export CXX=g\+\+$/,
    ],
    [
      "no headers",
      { addon, compiler: { kind: "gcc", version: "12.2.0", cxx20: false } },
      /^problem Compiler: .*does not compile C\+\+20/,
    ],
    ["an old CMake", { addon, cmake: "3.16.3" }, /^problem CMake: 3\.16\.3 is too old: 3\.18/],
    [
      "no venv",
      { libtorch: undefined, python: { version: "3.11.2", pip: true, venv: false } },
      /^problem Python: 3\.11\.2 without its venv.*python3-venv$/,
    ],
    [
      "an old libtorch",
      { libtorch: { version: "2.4.1" } },
      /^problem libtorch: 2\.4\.1, CPU: 2\.11 or newer/,
    ],
    [
      "the old ABI",
      { libtorch: { version: "2.13.0+cpu", cxx11: false } },
      /^problem libtorch: .*old C\+\+ ABI/,
    ],
    [
      "another libtorch than the build's",
      { libtorch: { version: "2.14.0+cpu" } },
      /^problem libtorch: 2\.14\.0\+cpu, CPU, but the addon was built against 2\.13\.0\+cpu: npx qwen-pt setup$/,
    ],
    [
      "an untested libtorch",
      { libtorch: { version: "2.14.0+cpu" }, addon: { built: true, libtorch: "2.14.0+cpu", loaded } },
      /^warning libtorch: .*tested with 2\.13/,
    ],
    [
      "an addon that does not load",
      { addon: { built: true, error: "GLIBCXX_3.4.32 not found: run npx qwen-pt setup --force" } },
      /^problem Addon: GLIBCXX_3\.4\.32 not found: npx qwen-pt setup --force$/,
    ],
    [
      "a crash",
      { addon: { built: true, error: "its process ended with SIGILL" }, installed: false },
      /^problem Addon: .*SIGILL: npm run build -- --force$/,
    ],
    [
      "two OpenMP runtimes",
      {
        addon: { ...healthy.addon, loaded: { ...loaded, openmp: ["libgomp.so.1", "libiomp5.so"] } },
        env: { LD_PRELOAD: "libiomp5.so" },
      },
      /^problem OpenMP: 2 runtimes.*libiomp5\.so.*unset LD_PRELOAD/,
    ],
    [
      "emulated bf16",
      {
        cpu: { model: "Xeon", threads: 4, flags: AVX512 },
        addon: {
          ...healthy.addon,
          loaded: { ...loaded, products: kinds("native", "native") },
        },
      },
      /^warning Processor: Xeon, 4 threads, AVX-512 without BF16: emulates.*unset QWEN_PT_PRODUCTS$/,
    ],
    [
      "no AVX2",
      { cpu: { model: "Atom", threads: 4, flags: ["sse2"] } },
      /^warning Processor: .*without AVX2/,
    ],
    [
      "arm64",
      { arch: "arm64", cpu: { model: "Neoverse-V2", threads: 4, flags: ["asimd", "bf16"] } },
      /^warning Processor: Neoverse-V2, 4 threads: .*not been tried on arm64/,
    ],
    [
      "more threads than a quota allows",
      { cpu: { ...healthy.cpu, quota: 2.5 }, env: { OMP_NUM_THREADS: "8" } },
      /^warning Threads: .*2\.5 of 8.*export OMP_NUM_THREADS=3$/,
    ],
    [
      "a number of threads that is none",
      { env: { OMP_NUM_THREADS: "0" } },
      /^warning Threads: OMP_NUM_THREADS=0 is no number.*export OMP_NUM_THREADS=8, or unset it$/,
    ],
    [
      "a capability that nobody knows",
      { env: { ATEN_CPU_CAPABILITY: "avx9000" } },
      /^warning Capability: ATEN_CPU_CAPABILITY=avx9000 .*ignores it: set default, avx2 or avx512/,
    ],
    [
      "a capability that the processor lacks",
      { cpu: { model: "i7", threads: 4, flags: AVX2 }, env: { ATEN_CPU_CAPABILITY: "avx512" } },
      /^problem Capability: ATEN_CPU_CAPABILITY=avx512: this processor has no avx512f/,
    ],
    [
      "a cgroup's limit",
      { memory: { ...healthy.memory, limit: 2 * GIB } },
      /^warning Memory: 2\.0 GiB \(the container's limit; the machine has 32 GiB\)/,
    ],
    ["a full memory", { memory: { total: 16 * GIB, available: GIB } }, /^warning Memory: .*1\.0 GiB free/],
    [
      "a full disk",
      { libtorch: undefined, disk: { cache: GIB, here: 60 * GIB } },
      /^problem Disk: 1\.0 GiB free for the cache.*QWEN_PT_CACHE/,
    ],
    ["a POSIX locale", { locale: "C" }, /^warning Locale: C: .*LC_ALL=C\.UTF-8/],
    ["WSL 1", { wsl: { version: 1, onWindowsDisk: false } }, /^warning WSL: version 1/],
    ["WSL on C:", { wsl: { version: 2, onWindowsDisk: true } }, /^warning WSL: .*Windows' disk/],
  ])("%s", (_, change, line) => {
    expect(wrong({ ...healthy, ...change })).toContainEqual(expect.stringMatching(line));
  });

  it.each<[string, Partial<Facts>, RegExp]>([
    [
      "no VC runtime",
      { windows: { ...windows.windows!, vcRuntime: false } },
      /^problem VC runtime: .*VCRedist/,
    ],
    [
      "short paths",
      { windows: { ...windows.windows!, longPaths: false } },
      /^warning Long paths: .*LongPathsEnabled/,
    ],
    [
      "no symbolic links",
      { windows: { ...windows.windows!, symlinks: false } },
      /^warning Symbolic links: .*Developer Mode/,
    ],
    [
      "Visual Studio 2019",
      { addon, compiler: { kind: "msvc", version: "16.11.3" } },
      /^problem Compiler: Visual Studio 16\.11\.3 is too old/,
    ],
    [
      "an old driver",
      { ...withCard, platform: "win32", gpu: cardOf("526.47") },
      /^problem NVIDIA driver: 526\.47 is too old for libtorch's CUDA 13\.0, which needs 580: update the driver$/,
    ],
  ])("on Windows: %s", (_, change, line) => {
    expect(wrong({ ...windows, ...change })).toContainEqual(expect.stringMatching(line));
  });
});

describe("a card", () => {
  const withGpu = (gpu: Facts["gpu"], more: Partial<Facts> = {}) => wrong({ ...withCard, gpu, ...more });

  it("whose driver is older than libtorch's CUDA: the driver, or the older build", () => {
    expect(withGpu(cardOf("550.54.15"))).toEqual([
      "problem NVIDIA driver: 550.54.15 is too old for libtorch's CUDA 13.0, which needs 580: update the driver, or npx qwen-pt setup --build cu126",
    ]);
    expect(withGpu(cardOf("470.57.02"))[0]).toMatch(/needs 580: update the driver$/); // too old for 12.6 as well
  });

  it("that this libtorch has no code for", () => {
    expect(withGpu(cardOf("580.65.06", "7.0", "Tesla V100"))).toEqual([
      "problem GPU code: libtorch has no code for Tesla V100 (7.0; it has 7.5, 8.0, 8.6, 9.0, 10.0, 12.0): npx qwen-pt setup --build cu126",
    ]);
    // what the libtorch itself lists comes before the table
    const own = { ...withCard.addon, loaded: { ...withCard.addon.loaded!, capabilities: ["9.0"] } };
    expect(withGpu(cardOf("580.65.06", "8.6"), { addon: own })[0]).toMatch(
      /^problem GPU code: .*it has 9\.0/,
    );
  });

  it("that a CPU build leaves idle", () => {
    const { libtorch, addon } = healthy;
    expect(withGpu(withCard.gpu, { libtorch, addon })).toEqual([
      expect.stringMatching(
        /^warning GPU: NVIDIA GeForce RTX 4090 \(8\.9, 24 GiB\) is not used.*setup --build cu130$/,
      ),
    ]);
  });

  it("whose libraries do not load", () => {
    const acceleratorError = "libcudnn.so.9: cannot open shared object file: No such file or directory";
    const addon = { ...withCard.addon, loaded: { ...withCard.addon.loaded!, devices: 0, acceleratorError } };
    expect(wrong({ ...withCard, addon })).toEqual([
      expect.stringMatching(
        /^problem CUDA: libtorch's CUDA half does not load: libcudnn\.so\.9: cannot open.*: install NVIDIA's libraries/,
      ),
    ]);
  });

  it("that libtorch does not see", () => {
    const addon = { ...withCard.addon, loaded: { ...withCard.addon.loaded!, devices: 0 } };
    expect(wrong({ ...withCard, addon, env: { CUDA_VISIBLE_DEVICES: "" } })).toEqual([
      'problem CUDA: libtorch sees no device: CUDA_VISIBLE_DEVICES is "": unset it',
    ]);
    expect(wrong({ ...withCard, addon, container: "Docker", shm: GIB })[0]).toMatch(
      /start the container with --gpus all/,
    );
  });

  it("without a driver, in a container or not", () => {
    const gpu = { cards: [], onBus: true };
    expect(wrong({ ...healthy, gpu })).toEqual([
      "warning GPU: there is an NVIDIA card but no driver: install NVIDIA's driver",
    ]);
    expect(wrong({ ...healthy, gpu, container: "Docker" })[0]).toMatch(/--gpus all$/);
  });

  it("whose driver does not answer", () => {
    const problem = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.";
    expect(withGpu({ cards: [], problem, onBus: true })[0]).toMatch(
      /^problem GPU: nvidia-smi lists no card: NVIDIA-SMI/,
    );
  });

  it("several in a container with little shared memory", () => {
    const [one] = withCard.gpu.cards;
    const gpu = { cards: [one!, one!], onBus: true };
    expect(withGpu(gpu, { container: "Docker", shm: 64 * 1024 ** 2 })).toEqual([
      "warning Container: Docker with 64 MiB of shared memory: start it with --shm-size=1g",
    ]);
  });

  it("why no device can be used, in a line", () => {
    expect(whyNoDevice(withCard, rules)).toBeUndefined();
    expect(whyNoDevice(healthy, rules)).toBe("this machine has no NVIDIA card");
    const { libtorch, addon } = healthy;
    expect(whyNoDevice({ ...withCard, libtorch, addon }, rules)).toMatch(
      /is not used: this libtorch is a CPU build/,
    );
  });
});

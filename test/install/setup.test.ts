// An installed package on a machine without libtorch, and its way to a training run: what each command says, what a
// setup leaves in the cache, and that nothing half-made is ever loaded.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { cacheFolder } from "../../lib/files/cache-folder.js";
import { builds, chooseBuild, hasCodeFor, minimumDriver, parseCards } from "../../scripts/cuda.mjs";
import { withLock } from "../../scripts/lock.mjs";
import { tinyModel } from "../api/room.js";
import { libtorch, Room, root } from "./room.js";

let room: Room;
beforeAll(() => {
  room = new Room();
  writeFileSync(path.join(room.dir, "r.yaml"), recipe(room.dir));
});
afterAll(() => room?.remove());

const recipe = (dir: string) => `
model_name_or_path: ${path.join(dir, "model")}
stage: pt
do_train: true
finetuning_type: full
dataset: prose
dataset_dir: ${path.join(root, "examples/data")}
max_samples: 4
cutoff_len: 64
output_dir: ${path.join(dir, "out")}
max_steps: 2
report_to: none
`;

describe("before setup", () => {
  beforeAll(() => rmSync(room.cache, { recursive: true, force: true }));

  it("version, help and env work, and say that there is no libtorch", () => {
    expect(room.run(["version"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^qwen-pt \d/),
      lines: [],
    });
    expect(room.run(["help", "setup"])).toMatchObject({ code: 0, lines: [] });
    const { code, out, lines } = room.run(["env"]);
    expect([code, lines]).toEqual([0, []]);
    expect(out).toContain("- libtorch version: none: the addon has not been built (npx qwen-pt setup)\n");
  });

  it("doctor says what is missing and what to do, and exits 1", () => {
    const { code, out } = room.run(["doctor"]);
    expect(code).toBe(1);
    expect(out).toMatch(/^problem +libtorch +none was found: npx qwen-pt setup, or LIBTORCH=\/path$/m);
    expect(out).toMatch(/^problem +Addon +has not been built: npx qwen-pt setup$/m);
    expect(room.run(["doctor", "--gpu", "--device", "cpu"]).lines).toEqual([
      expect.stringMatching(/^error: qwen-pt has not been set up/),
    ]);
  });

  it("train says what to run, in one line, and leaves nothing", () => {
    const { code, lines } = room.run(["train", "r.yaml"]);
    expect(code).toBe(1);
    expect(lines).toEqual([
      expect.stringMatching(/^error: qwen-pt has not been set up.*run npx qwen-pt setup/),
    ]);
    expect(existsSync(path.join(room.dir, "out"))).toBe(false);
  });

  it("an installed package's prepare script builds nothing", () => {
    const before = readdirSync(room.package).sort();
    const { status } = spawnBuild();
    expect(status).toBe(0);
    expect(readdirSync(room.package).sort()).toEqual(before);
  });

  it("--plan says where libtorch would come from, and does nothing", () => {
    const { code, lines } = room.run(["setup", "--plan", "--build", "cpu"]);
    expect(code).toBe(0);
    expect(lines).toEqual([
      expect.stringMatching(/would fetch libtorch 2\.13\.0 \(cpu: asked for\) by pip, about 200 MB/),
    ]);
    expect(room.run(["setup", "--plan"], { LIBTORCH: libtorch }).lines).toEqual([
      expect.stringMatching(/would build against libtorch .* \(LIBTORCH\)$/),
    ]);
    expect(room.cached()).toEqual([]);
  });

  it.each([
    [["setup", "--build", "gpu"], {}, /--build gpu: it is one of auto, cpu, cuda/],
    [["setup", "now"], {}, /setup takes options only, not now/],
    [["setup"], { LIBTORCH: "/nowhere" }, /LIBTORCH: \/nowhere has no lib/],
  ])("%j is refused in one line", (args, env, line) => {
    const { code, lines } = room.run(args, env);
    expect([code, lines]).toEqual([1, [expect.stringMatching(line)]]);
    expect(room.cached()).toEqual([]);
  });
});

function spawnBuild() {
  return spawnSync(process.execPath, [path.join(room.package, "scripts/build.mjs")], {
    env: room.env(),
    timeout: 60_000,
  });
}

describe.skipIf(process.platform === "win32")("setup", () => {
  beforeEach(() => {
    rmSync(room.cache, { recursive: true, force: true });
    rmSync(path.join(room.dir, "compilations"), { force: true });
  });
  const setup = (FAKE = "") => room.run(["setup"], { LIBTORCH: libtorch, FAKE });
  const leftovers = () => room.cached().filter((name) => /\.part$|cmake\/|\.lock/.test(name));

  it("compiles the addon into the cache; train then runs; a second setup compiles nothing", () => {
    const first = setup();
    expect(first.lines.at(-1)).toMatch(/compiled it in \d+ s/);
    expect([first.code, first.out]).toEqual([
      0,
      expect.stringMatching(/^qwen-pt is set up: libtorch 2\.1\d/),
    ]);
    expect(room.cached()).toEqual([
      expect.stringMatching(/^addon\/0\.\S+-libtorch-2\S+-[0-9a-f]{12}\/addon\.json$/),
      expect.stringMatching(/^addon\/0\.\S+-libtorch-2\S+-[0-9a-f]{12}\/qwen_pt\.node$/),
      ...(process.platform === "linux"
        ? ["distributed", "environment"].map((name) =>
            expect.stringMatching(new RegExp(`^addon/0\\.\\S+-[0-9a-f]{12}/qwen_pt_${name}\\.node$`)),
          )
        : []),
      expect.stringMatching(/^addon\/0\.\S+-[0-9a-f]{12}\/qwen_pt_text\.node$/),
      expect.stringMatching(/^addon\/\d\S+-[0-9a-f]{12}\.json$/),
    ]);
    expect(room.run(["env"]).out).toContain(`- Addon: ${room.cache}`);
    mkdirSync(path.join(room.dir, "model"));
    tinyModel(path.join(room.dir, "model"));
    const doctor = room.run(["doctor"]);
    expect(doctor.out).toMatch(/^ok +Addon +loads, with libtorch 2/m);
    expect(doctor.code).toBe(0);
    const trained = room.run(["train", "r.yaml"], { OMP_NUM_THREADS: "1" });
    expect(trained.lines.filter((line) => /error/i.test(line))).toEqual([]);
    expect(trained.code).toBe(0);
    expect(existsSync(path.join(room.dir, "out/train_results.json"))).toBe(true);
    expect(setup().code).toBe(0);
    expect(room.compilations()).toHaveLength(1);
  });

  it("a failed compilation leaves nothing that loads, and the next one succeeds", () => {
    const failed = setup("fail");
    expect(failed.code).toBe(1);
    expect(failed.lines.join("\n")).toContain("no such thing");
    expect(failed.lines.at(-1)).toMatch(/^error: the addon could not be built/);
    expect(room.run(["env"]).out).toContain("the addon has not been built");
    expect(setup().code).toBe(0);
    expect(leftovers()).toEqual([]);
  });

  it("an addon that does not load is not put in its place", () => {
    const { code, lines } = setup("half");
    expect(code).toBe(1);
    expect(lines.at(-1)).toMatch(/^error: the addon was compiled but does not load: /);
    expect(room.cached().filter((name) => /^addon\/[^/]+(\/qwen_pt\.node|\.json)$/.test(name))).toEqual([]);
    expect(setup().code).toBe(0);
  });

  it("killed in the middle, it goes on the next time, past the dead one's lock", async () => {
    const child = room.start(["setup"], { LIBTORCH: libtorch, FAKE: "hang" });
    await expect.poll(() => room.compilations().length, { timeout: 20_000 }).toBe(1);
    const gone = new Promise((resolve) => child.on("close", resolve));
    child.kill("SIGKILL");
    const compiler = Number(room.compilations()[0].split(" ")[0]);
    process.kill(compiler, "SIGKILL");
    await gone; // a zombie still looks alive
    expect(room.run(["env"]).out).toContain("the addon has not been built");
    expect(room.cached().some((name) => name.includes(".lock/"))).toBe(true);
    expect(setup().code).toBe(0);
    expect(leftovers()).toEqual([]);
  });

  it("two at once compile once", async () => {
    const ended = [1, 2].map(() => {
      const child = room.start(["setup"], { LIBTORCH: libtorch, FAKE: "slow" });
      return new Promise((resolve) => child.on("close", resolve));
    });
    expect(await Promise.all(ended)).toEqual([0, 0]);
    expect(room.compilations()).toHaveLength(1);
    expect(leftovers()).toEqual([]);
  });

  it("a libtorch that was upgraded in place is refused with the remedy", () => {
    expect(setup().code).toBe(0);
    const [name] = readdirSync(path.join(room.cache, "addon")).filter((file) => file.endsWith(".json"));
    const file = path.join(room.cache, "addon", name);
    const record = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...record, version: "2.12.0" }));
    expect(room.run(["env"]).out).toMatch(
      /built against libtorch 2\.12\.0, and .* is now 2\.\S+: run npx qwen-pt setup/,
    );
  });

  it("an addon of other C++ than this package's is not found", () => {
    expect(setup().code).toBe(0);
    const file = path.join(room.package, "dist/native.json");
    const before = readFileSync(file, "utf8");
    writeFileSync(file, JSON.stringify({ sources: "0".repeat(64) }));
    expect(room.run(["env"]).out).toContain("the addon has not been built");
    writeFileSync(file, before);
  });

  it("takes the active Python's torch, unless its build does not serve", () => {
    const bin = path.join(room.dir, "bin");
    mkdirSync(bin, { recursive: true });
    const python = `#!/bin/sh\ncase "$*" in *find_spec*) echo "${libtorch}";; *) echo "Python 3.8.1";; esac\n`;
    for (const name of ["python", "python3"]) writeFileSync(path.join(bin, name), python, { mode: 0o755 });
    const env = { LIBTORCH_USE_PYTORCH: "", PATH: `${bin}:${process.env.PATH}` };
    expect(room.run(["setup", "--plan"], env).lines).toEqual([
      `qwen-pt: would build against libtorch 2.13.0+cpu in ${libtorch} (the active Python's torch)`,
    ]);
    expect(room.run(["setup", "--plan", "--build", "cu126"], env).lines).toEqual([
      `qwen-pt: skipped ${libtorch}: it is a CPU build`,
      expect.stringMatching(/would fetch libtorch 2\.13\.0 \(cu126: asked for\) by pip, about 2\.5 GB/),
    ]);
  });
});

describe("the cache's place", () => {
  const at = (platform: NodeJS.Platform, home: string, env: NodeJS.ProcessEnv) =>
    cacheFolder({ platform, home, env });
  it("is the system's, or QWEN_PT_CACHE", () => {
    expect(at("linux", "/h", {})).toBe("/h/.cache/qwen-pt");
    expect(at("linux", "/h", { XDG_CACHE_HOME: "/x" })).toBe("/x/qwen-pt");
    expect(at("linux", "/h", { XDG_CACHE_HOME: "x" })).toBe("/h/.cache/qwen-pt"); // relative: skipped
    expect(at("darwin", "/h", {})).toBe("/h/Library/Caches/qwen-pt");
    expect(at("win32", "C:\\U", { LOCALAPPDATA: "C:\\L" })).toBe("C:\\L\\qwen-pt");
    expect(at("win32", "C:\\U", {})).toBe("C:\\U\\AppData\\Local\\qwen-pt");
    expect(at("linux", "/h", { QWEN_PT_CACHE: "/q", XDG_CACHE_HOME: "/x" })).toBe("/q");
  });
});

describe("the build for a card", () => {
  const card = (driver: string, capability?: string) => [{ name: "card", driver, capability, memoryMiB: 1 }];
  it.each([
    [[], "cpu", /no NVIDIA card/],
    [card("580.65.06", "9.0"), "cu130", /^card, driver 580/],
    [card("580.65.06", "7.0"), "cu126", /CUDA 13\.0's build has no code for card \(7\.0\)/], // a V100
    [card("535.104.05", "8.6"), "cu126", /older than 580/],
    [card("535.104.05", "12.0"), "cpu", /CUDA 12\.6's build has no code for card \(12\.0\)/],
    [card("470.57.02", "8.0"), "cpu", /older than 525\.60\.13/],
    [card("595.0", "13.0"), "cu130", /card/], // a card of the future: PTX
    [card("580.65.06"), "cu130", /card/],
  ])("%j: %s", (cards, build, why) => {
    expect(chooseBuild(cards, "linux")).toMatchObject({ build, why: expect.stringMatching(why) });
  });

  it("knows NVIDIA's minimum drivers, on Windows too", () => {
    expect(minimumDriver("12.6", "linux")).toBe("525.60.13");
    expect(minimumDriver("12.6", "win32")).toBe("528.33");
    expect(minimumDriver("13.2", "win32")).toBe("580");
    expect(chooseBuild(card("526.47", "8.6"), "win32").build).toBe("cpu");
  });

  it("code for 8.6 runs on 8.9, not on 9.0 or 7.0", () => {
    const only = { ...builds.cu126, capabilities: ["8.6"] };
    expect(["7.5", "8.0", "8.6", "8.9", "9.0"].filter((name) => hasCodeFor(only, name))).toEqual([
      "8.6",
      "8.9",
    ]);
  });

  it("reads nvidia-smi's answers, old drivers' too", () => {
    const text =
      "NVIDIA GeForce RTX 4090, 550.54.15, 8.9, 24564 MiB\r\nTesla K80, 470.57.02, [N/A], 11441 MiB\nNo devices\n";
    expect(parseCards(text)).toEqual([
      { name: "NVIDIA GeForce RTX 4090", driver: "550.54.15", capability: "8.9", memoryMiB: 24564 },
      { name: "Tesla K80", driver: "470.57.02", memoryMiB: 11441 },
    ]);
  });
});

describe("locks", () => {
  it("one that nobody has touched for long is taken over, though its process number is in use", async () => {
    const target = path.join(room.dir, "locked");
    mkdirSync(`${target}.lock`);
    writeFileSync(path.join(`${target}.lock`, "pid"), String(process.pid)); // a container's 7 is not ours
    const old = new Date(Date.now() - 3_600_000);
    utimesSync(`${target}.lock`, old, old);
    expect(await withLock(target, async () => "done")).toBe("done");
    expect(existsSync(`${target}.lock`)).toBe(false);
  });

  it("one whose owner lives is waited for, which is said once", async () => {
    const target = path.join(room.dir, "held");
    let waited = 0;
    let release = () => {};
    const held = withLock(target, () => new Promise<void>((resolve) => (release = resolve)));
    const second = withLock(
      target,
      async () => "after",
      () => waited++,
    );
    await expect.poll(() => waited, { timeout: 10_000 }).toBe(1);
    release();
    await held;
    expect(await second).toBe("after");
    expect(waited).toBe(1);
  });
});

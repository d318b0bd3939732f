// Real processes: signals, kills and dead parents while `qwen-pt train` runs, and what can be resumed afterwards.
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { addonPath } from "../../lib/torch/native.js";
import { listCheckpoints, verifyCheckpoint } from "../../lib/train/checkpoint/folder.js";
import { buildProgram } from "../cli/program.js";
import { folder, history, logLines, plain, recipe, weightsFile } from "./runs.js";

let program: string;
beforeAll(async () => {
  program = await buildProgram();
});
afterAll(() => rmSync(program, { recursive: true, force: true }));

const KEYS: RecipeInput = { lora_dropout: 0.1, max_steps: 60, overwrite_output_dir: false, plot_loss: false };

/** A recipe file for an output folder. */
function recipeFile(output: string, keys: RecipeInput): string {
  const file = path.join(folder(), "recipe.yaml");
  const lines = Object.entries(recipe({ ...KEYS, ...keys, output_dir: output }));
  writeFileSync(file, lines.map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`).join(""));
  return file;
}

interface Process {
  child: ChildProcess;
  text(): string;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; milliseconds: number }>;
}

const environment = () => {
  // nor nohup's sign
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("npm_") && name !== "_");
  return { ...Object.fromEntries(clean), QWEN_PT_ADDON: addonPath(), OMP_NUM_THREADS: "1" };
};

function start(command: string, args: string[], env: NodeJS.ProcessEnv = environment()): Process {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += data));
  const ended = new Promise<Awaited<Process["ended"]>>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, milliseconds: performance.now() }));
  });
  return { child, text: () => text, ended };
}

const main = () => path.join(program, "dist", "cli", "main.js");
const training = (file: string, ...overrides: string[]): Process =>
  start(process.execPath, [main(), "train", file, ...overrides]);

/** Waits until something is so. */
async function until(what: string, isSo: () => boolean, running?: Process): Promise<void> {
  const end = performance.now() + 60_000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}\n${running?.text() ?? ""}`);
    await sleep(2);
  }
}

const loggedSteps = (dir: string): number => {
  const file = path.join(dir, "trainer_log.jsonl");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
};

async function finish(file: string, ...overrides: string[]): Promise<string> {
  const run = training(file, ...overrides);
  expect([(await run.ended).code, run.text()], run.text()).toEqual([0, expect.any(String)]);
  return run.text();
}

let reference: string;
/** The end of the run that nothing interrupted. */
async function expectSame(dir: string): Promise<void> {
  if (reference === undefined) {
    const whole = folder();
    await finish(recipeFile(whole, {}));
    reference = whole;
  }
  expect(history(dir).map(plain)).toEqual(history(reference).map(plain));
  expect(logLines(dir).map(plain)).toEqual(logLines(reference).map(plain));
  expect(readFileSync(weightsFile(dir)).equals(readFileSync(weightsFile(reference)))).toBe(true);
  const optimizer = path.join("checkpoint-60", "optimizer.safetensors");
  expect(readFileSync(path.join(dir, optimizer)).equals(readFileSync(path.join(reference, optimizer)))).toBe(
    true,
  );
  expect(leftovers(dir)).toEqual([]);
}

const leftovers = (dir: string) =>
  readdirSync(dir).filter((name) => name.startsWith(".") || name.includes(".tmp"));

describe("signals", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)(
    "%s saves the last finished step and exits with %i; what is resumed is the same run",
    async (signal, code) => {
      const dir = folder();
      const file = recipeFile(dir, {});
      const run = training(file);
      await until("ten steps", () => loggedSteps(dir) >= 10, run);
      run.child.kill(signal);
      expect((await run.ended).code, run.text()).toBe(code);
      const [{ step, dir: saved }] = listCheckpoints(dir);
      expect(step).toBeGreaterThanOrEqual(10);
      expect(step).toBeLessThan(60);
      expect(listCheckpoints(dir)).toHaveLength(1);
      expect(() => verifyCheckpoint(saved)).not.toThrow();
      expect(loggedSteps(dir)).toBe(step);
      expect(run.text()).toContain(`resume with: qwen-pt train ${file}`);
      await finish(file);
      await expectSame(dir);
    },
  );

  it("a second SIGINT leaves at once, and breaks nothing", async () => {
    const dir = folder();
    const file = recipeFile(dir, { save_steps: 5 });
    const run = training(file);
    await until("eight steps", () => loggedSteps(dir) >= 8, run);
    run.child.kill("SIGINT");
    const at = performance.now();
    const again = setInterval(() => run.child.kill("SIGINT"), 3);
    const { code, signal, milliseconds } = await run.ended;
    clearInterval(again);
    expect(signal ?? code).toSatisfy((found) => found === "SIGINT" || found === 130);
    expect(milliseconds - at).toBeLessThan(1000);
    await finish(file, "save_steps=500");
    rmSync(path.join(dir, "checkpoint-5"), { recursive: true });
    await expectSame(dir);
  });

  it("SIGINT before the first step: 130, nothing saved, no output folder", async () => {
    const dir = path.join(folder(), "out");
    const run = training(recipeFile(dir, {}));
    await until("output", () => run.text() !== "" || run.child.exitCode !== null, run);
    run.child.kill("SIGINT");
    expect((await run.ended).code, run.text()).toBe(130);
    if (run.text().includes("nothing was saved"))
      expect(existsSync(path.join(dir, "checkpoint-1"))).toBe(false);
    else expect(listCheckpoints(dir)).toHaveLength(1);
  });

  it("started through npx, whose shell dies: as SIGTERM", async () => {
    const dir = folder();
    const file = recipeFile(dir, { max_steps: 2000 });
    const exit = path.join(dir, "exit");
    // npm's shell between: it waits for its child, and its death is what the child sees
    const shell = start(
      "sh",
      ["-c", `sh -c '"$0" "$1" train "$2"; :' "$0" "$1" "$2"; echo`, process.execPath, main(), file],
      {
        ...environment(),
        npm_command: "exec",
      },
    );
    await until("five steps", () => loggedSteps(dir) >= 5, shell);
    appendFileSync(exit, "");
    shell.child.kill("SIGKILL");
    await until("a checkpoint", () => listCheckpoints(dir).length > 0);
    const [{ dir: saved, step }] = listCheckpoints(dir);
    expect(() => verifyCheckpoint(saved)).not.toThrow();
    await sleep(300);
    expect(loggedSteps(dir)).toBe(step); // it has stopped
  });
});

describe("nobody reads the output any more", () => {
  it("a training goes on to its end, with every checkpoint", async () => {
    const dir = folder();
    const run = training(recipeFile(dir, { max_steps: 12, save_steps: 4 }));
    await until("output", () => run.text() !== "", run);
    run.child.stdout?.destroy();
    run.child.stderr?.destroy();
    expect((await run.ended).code, run.text()).toBe(0);
    expect(listCheckpoints(dir).map(({ step }) => step)).toEqual([12, 8, 4]);
    for (const { dir: saved } of listCheckpoints(dir)) expect(() => verifyCheckpoint(saved)).not.toThrow();
    expect(existsSync(weightsFile(dir))).toBe(true);
    expect(leftovers(dir)).toEqual([]);
  });

  it("a short command ends quietly", async () => {
    const help = start(process.execPath, [main(), "help", "train"]);
    help.child.stdout?.destroy();
    expect((await help.ended).code).toBe(0);
    expect(help.text()).toBe("");
  });
});

describe("kill -9 while checkpoints are written after every step", () => {
  it("leaves something to resume every time, and the end is that of a run without kills", async () => {
    const dir = folder();
    const file = recipeFile(dir, { save_steps: 1, save_total_limit: 3 });
    let newest = 0;
    for (let round = 0; round < 8 && newest < 45; round++) {
      const run = training(file);
      const before = newest;
      await until("a new checkpoint", () => (listCheckpoints(dir)[0]?.step ?? 0) > before, run);
      // a delay that differs from round to round, of the length of a few checkpoints
      await sleep((round * 37) % 101);
      run.child.kill("SIGKILL");
      await run.ended;
      const whole = listCheckpoints(dir).filter(({ dir: found }) => {
        try {
          verifyCheckpoint(found);
          return true;
        } catch {
          return false;
        }
      });
      // renamed last, so the newest that has its name is whole; only one being removed may not be
      expect(whole[0]?.step, run.text()).toBe(listCheckpoints(dir)[0].step);
      expect(whole[0].step).toBeGreaterThan(newest);
      newest = whole[0].step;
    }
    await finish(file, "save_steps=500");
    for (const { step, dir: found } of listCheckpoints(dir))
      if (step < 60) rmSync(found, { recursive: true });
    await expectSame(dir);
  });
});

// `npm run demo`, shortened to a few steps: both trainings, the comparison, the files that it names.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const out = mkdtempSync(path.join(tmpdir(), "qwen-pt-demo-"));

/** Runs the demo to its end; its text. */
function demo(folder: string, ...args: string[]): string {
  const all = ["scripts/demo.mjs", "--out", path.join(out, folder), "use_cpu=true", ...args];
  const run = spawnSync(process.execPath, all, { cwd: root, encoding: "utf8" });
  expect(run.stderr).toBe("");
  expect(run.status).toBe(0);
  return run.stdout;
}

let text = "";
beforeAll(() => {
  text = demo("whole", "max_steps=12", "logging_steps=4");
}, 240_000);
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe("the demo", () => {
  it("shows the data, then trains with progress", () => {
    expect(text).toMatch(/200 documents, 122,\d{3} tokens -> \d+ blocks of 512/);
    expect(text).toMatch(/^step 4\/12 .*loss \d/m);
  });

  it("names every change to the recipe", () => {
    const command = /^\$ npx qwen-pt train examples\/recipe\.yaml (.*)$/m.exec(text)?.[1] ?? "";
    const keys = command.split(" ").map((one) => one.split("=")[0] as string);
    const told = keys.filter((key) => !["output_dir", "max_steps", "use_cpu"].includes(key));
    expect(told.length).toBeGreaterThan(4);
    expect(command).not.toMatch(/max_steps=.*max_steps=/);
    for (const key of told) expect(text).toMatch(new RegExp(`^  ${key}: \\S+ +\\S+`, "m"));
  });

  it("measures text that was never trained on, before and after", () => {
    const rows = [
      ...text.matchAll(
        /^ {2}held-out (essays|poems) \(\d+\) +([\d.]+) +([\d.]+) +[+-]?\d+ % +([\d.]+) +[+-]?\d+ %$/gm,
      ),
    ];
    expect(rows.map((row) => row[1])).toEqual(["essays", "poems"]);
    const [essays, poems] = rows.map((row) => row.slice(2).map(Number)) as [number[], number[]];
    expect(essays[1]).toBeLessThan(0.8 * (essays[0] as number));
    expect(essays[2]).toBeLessThan(0.8 * (essays[0] as number));
    expect(poems[0]).toBeLessThan(essays[0] as number);
    // what replay is for, visible after a dozen steps already
    expect(poems[2]).toBeLessThan(poems[1] as number);
  });

  it("continues a prompt before and after, and differently", () => {
    const [before, after] = [...text.matchAll(/^ {2}(?:before|after): +(夫天下.+)$/gm)].map((row) => row[1]);
    expect(before).toBeDefined();
    expect(after).not.toBe(before);
  });

  it("trains a second time with poems replayed, by a command that anyone can run", () => {
    const commands = [...text.matchAll(/^\$ npx qwen-pt train .*$/gm)].map(([line]) => line);
    expect(commands).toHaveLength(2);
    expect(commands[1]).toContain(" replay_dataset=poetry replay_ratio=0.1 ");
    expect(existsSync(path.join(out, "whole-replay", "adapter_model.safetensors"))).toBe(true);
  });

  it("names files that are there", () => {
    for (const name of ["training_loss.png", "adapter_model.safetensors"])
      expect(existsSync(path.join(out, "whole", name)), name).toBe(true);
    expect(text).toContain(path.join(out, "whole", "training_loss.png"));
  });
});

describe("on a machine that is too slow for all of it", () => {
  it("trains fewer steps and scores fewer documents, says so, and ends in time", () => {
    const began = performance.now();
    const short = demo("short", "--seconds", "40");
    const took = (performance.now() - began) / 1000;
    const [, steps, all, speed] =
      /^ {2}max_steps: (\d+) +not all (\d+): at (\d+) tokens\/s they would take too long/m.exec(short) ?? [];
    expect(Number(steps)).toBeLessThan(Number(all));
    expect(Number(all)).toBe(357);
    expect(Number(speed)).toBeGreaterThan(0);
    expect(short).toContain(` max_steps=${steps}`);
    expect(short).toMatch(
      new RegExp(`^This machine trains it at about ${Number(speed).toLocaleString("en-US")} `, "m"),
    );
    expect(short).toMatch(/^ {2}held-out essays \(\d+\) /m);
    expect(short).toMatch(/^==== What it learned, and what it forgot \(\d+ s in all\)/m);
    expect(took).toBeLessThan(90);
  }, 240_000);
});

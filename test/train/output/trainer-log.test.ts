// trainer_log.jsonl against LLaMA-Factory's own lines, and the parts of a line that its fixtures cannot show.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseTrainerState } from "../../../lib/train/checkpoint/trainer-state.js";
import { formatLogLine, type LogLine, TrainerLog } from "../../../lib/train/output/trainer-log.js";

const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/output/${name}`, import.meta.url), "utf8");

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-log-"));
  file = path.join(folder, "trainer_log.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const TIMES = /"(elapsed_time|remaining_time)": "[^"]*"|"throughput": [\d.]+/g;
const timeless = (line: string) => line.replace(TIMES, "time");

describe("a line", () => {
  it.each(["lora", "full"])("is LLaMA-Factory's, byte for byte (%s)", (run) => {
    for (const line of fixture(`${run}/trainer_log.jsonl`).trimEnd().split("\n")) {
      expect(formatLogLine(JSON.parse(line) as LogLine)).toBe(line);
    }
  });

  it.each(["lora", "full"])("made from log_history is LLaMA-Factory's but for the times (%s)", (run) => {
    const state = parseTrainerState(fixture(`${run}/trainer_state.json`), run);
    let clock = 0;
    const log = new TrainerLog({ file, totalSteps: state.max_steps, now: () => clock });
    clock = 500;
    for (const entry of state.log_history)
      log.write(entry, entry.step as number, entry.num_input_tokens_seen);
    const reference = fixture(`${run}/trainer_log.jsonl`);
    expect(timeless(readFileSync(file, "utf8"))).toBe(timeless(reference));
  });
});

describe("times", () => {
  it("elapsed, remaining and throughput follow the clock", () => {
    let clock = 1_000;
    const log = new TrainerLog({ file, totalSteps: 40, now: () => clock });
    clock += 100_900;
    const line = log.write({ loss: 1, learning_rate: 1e-4, epoch: 0.5 }, 10, 5000);
    expect(line).toEqual({
      current_steps: 10,
      total_steps: 40,
      loss: 1,
      lr: 1e-4,
      epoch: 0.5,
      percentage: 25,
      elapsed_time: "0:01:40",
      remaining_time: "0:05:02",
      throughput: 49.55,
      total_tokens: 5000,
    });
  });

  it("a resumed run estimates from its own steps", () => {
    let clock = 0;
    const log = new TrainerLog({ file, totalSteps: 40, startStep: 30, startTokens: 3000, now: () => clock });
    clock = 10_000;
    const line = log.write({ epoch: 1 }, 32, 3200);
    expect(line.remaining_time).toBe("0:00:40");
    expect(line.throughput).toBe(20);
    expect(new TrainerLog({ file, totalSteps: 40, startStep: 40 }).write({}, 40).remaining_time).toBe(
      "0:00:00",
    );
  });

  it("memory is in GiB", () => {
    const log = new TrainerLog({ file, totalSteps: 1 });
    const line = log.write({}, 1, 0, { allocated: 1.5 * 1024 ** 3, reserved: 2 * 1024 ** 3 });
    expect([line.vram_allocated, line.vram_reserved]).toEqual([1.5, 2]);
    expect(readFileSync(file, "utf8")).toMatch(/"vram_allocated": 1\.5, "vram_reserved": 2\.0}\n$/);
  });
});

describe("the file", () => {
  it("starts over unless told to append", () => {
    writeFileSync(file, "old\n");
    new TrainerLog({ file, totalSteps: 2, append: true }).write({ loss: 1 }, 1);
    expect(readFileSync(file, "utf8").split("\n")).toHaveLength(3);
    new TrainerLog({ file, totalSteps: 2 }).write({ loss: 1 }, 1);
    expect(readFileSync(file, "utf8").split("\n")).toHaveLength(2);
  });

  it("a NaN loss is written as Python writes it", () => {
    new TrainerLog({ file, totalSteps: 2 }).write({ loss: Number.NaN }, 1);
    expect(readFileSync(file, "utf8")).toContain('"loss": NaN, ');
  });

  it("names the file where it cannot be written", () => {
    writeFileSync(path.join(folder, "plain"), "");
    const inside = path.join(folder, "plain", "trainer_log.jsonl");
    expect(() => new TrainerLog({ file: inside, totalSteps: 1 }).write({}, 1)).toThrow(
      /cannot write .*trainer_log/,
    );
  });
});

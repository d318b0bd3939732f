// What is trained on and when, in whole runs: the loss of each source without another pass, what is said before and after,
// and that a recipe of one dataset trains on the very blocks that it would train on without.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { RecipeInput } from "../../../lib/config/index.js";
import { datedData } from "../dated.js";
import { history, only, plain, type Ran, run } from "../runs.js";

const messages = ({ events }: Ran): string[] => only(events, "message").map(({ text }) => text);

const KEYS: RecipeInput = { logging_steps: 1, max_steps: 6, save_strategy: "no" };

describe("loss by source", () => {
  it("of one dataset is the loss, and the run in order is the same as without it", async () => {
    const keys = { ...KEYS, dataset: "one", disable_shuffling: true };
    const [plainly, sourced] = [await run(keys), await run({ ...keys, log_loss_by_source: true })];
    const [before, after] = [history(plainly.dir), history(sourced.dir)];
    for (const [i, entry] of after.slice(0, -1).entries()) {
      const { loss_one, share_one, ...rest } = entry;
      expect(plain(rest)).toEqual(plain(before[i]));
      expect(loss_one).toBeCloseTo(entry.loss, 5);
      expect(share_one).toBe(1);
    }
    expect(after.length).toBe(7);
  });

  it("the tokens' mean of the sources' losses is the loss of the steps; several blocks a batch change nothing", async () => {
    const keys = { ...KEYS, dataset: "one", replay_dataset: "two", replay_ratio: 0.5, lora_dropout: 0 };
    const single = await run({ ...keys, per_device_train_batch_size: 1, gradient_accumulation_steps: 4 });
    const batched = await run({ ...keys, per_device_train_batch_size: 4, gradient_accumulation_steps: 1 });
    const [ours, theirs] = [history(single.dir), history(batched.dir)];
    for (const [i, entry] of ours.slice(0, -1).entries()) {
      expect((entry.loss_one + entry.loss_two) / 2).toBeCloseTo(entry.loss, 4);
      expect(theirs[i].loss_one).toBeCloseTo(entry.loss_one, 3);
      expect(theirs[i].loss_two).toBeCloseTo(entry.loss_two, 3);
      expect(entry.share_two).toBe(0.5);
    }
    // one batch of four, but no micro-step with blocks of both
    expect(only(batched.events, "microStep").every(({ accumulation }) => accumulation === 2)).toBe(true);
  });
});

describe("replay", () => {
  it("is announced before the first step and accounted for after the last", async () => {
    const ran = await run({ ...KEYS, max_steps: 5, replay_dataset: "two", replay_ratio: 0.1 });
    const [said, done] = messages(ran).filter((text) => /two/.test(text));
    expect(said).toMatch(
      /^of 20 blocks: one 90\.0 % of the tokens \(18 blocks, [\d.]+ epochs over it\), two 10\.0 % of the tokens \(2 blocks, [\d.]+ epochs over it\)$/,
    );
    expect(done).toMatch(/^trained on: one 90\.00 % \([\d,]+ tokens\), two 10\.00 % \([\d,]+ tokens\)$/);
    const begin = only(ran.events, "begin")[0];
    const sources = only(ran.events, "data")[0].summary;
    expect(sources.datasets.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(begin.examples).toBeGreaterThan(0);
  });

  it("keeps packed documents apart, and takes documents one by one", async () => {
    for (const keys of [{ neat_packing: true }, { packing: false }] as RecipeInput[]) {
      const ran = await run({ ...KEYS, ...keys, max_steps: 3, replay_dataset: "two", replay_ratio: 0.4 });
      expect(history(ran.dir)[2].share_two).toBeCloseTo(0.4, 1);
      expect(history(ran.dir)[2].loss_two).toBeGreaterThan(0);
    }
  });
});

describe("mixtures and stages", () => {
  it("by token follow the weights, whatever the sizes, and say how often each dataset is gone through", async () => {
    const ran = await run({
      ...KEYS,
      max_steps: 10,
      dataset: "one,two",
      mix_by: "tokens",
      mix_weights: "1,3",
    });
    expect(messages(ran).find((text) => text.startsWith("of "))).toMatch(
      /^of 40 blocks: one 25\.0 % of the tokens \(10 blocks, .*two 75\.0 % of the tokens \(30 blocks, /,
    );
    for (const { share_two, step } of history(ran.dir).slice(0, -1))
      expect(Math.abs(share_two - 0.75) * step * 4).toBeLessThanOrEqual(0.5 + 1e-9);
    expect(messages(ran).at(-1)).toMatch(/^trained on: one 25\.00 % .*, two 75\.00 %/);
  });

  it("by temperature: each dataset's own size at 1", async () => {
    const ran = await run({
      ...KEYS,
      max_steps: 10,
      dataset: "one,two",
      mix_by: "tokens",
      max_samples: null,
    });
    const [one, two] = (messages(ran).find((text) => text.startsWith("of ")) ?? "").match(
      /[\d.]+(?= epochs)/g,
    )!;
    expect(Math.abs(Number(one) - Number(two))).toBeLessThan(0.15);
  });

  it("of a curriculum begin with their steps", async () => {
    const ran = await run({
      ...KEYS,
      max_steps: 10,
      dataset: "one,two",
      curriculum: [
        { until: 0.3, mix: { one: 1 } },
        { until: 0.5, mix: { two: 1 } },
        { mix: { one: 1, two: 1 } },
      ],
    });
    expect(messages(ran).filter((text) => text.startsWith("curriculum"))).toEqual([
      "curriculum: steps 1 to 3: one 100.0 %",
      "curriculum: steps 4 to 5: two 100.0 %",
      "curriculum: steps 6 to 10: one 50.0 %, two 50.0 %",
    ]);
    const trained = history(ran.dir)
      .slice(0, -1)
      .map((entry) =>
        Object.keys(entry)
          .filter((key) => key.startsWith("loss_"))
          .join(),
      );
    expect(trained).toEqual([
      ...Array(3).fill("loss_one"),
      ...Array(2).fill("loss_two"),
      ...Array(5).fill("loss_one,loss_two"),
    ]);
  });
});

describe("time decay", () => {
  const DATED = datedData();
  const keys: RecipeInput = {
    ...KEYS,
    max_steps: 2,
    max_samples: null,
    dataset_dir: DATED,
    time_decay_half_life: "1y",
    time_decay_column: "year",
  };

  it("shows the counts by year before training, and trains on what was drawn", async () => {
    const ran = await run(keys);
    const said = messages(ran);
    const at = said.findIndex((text) => text.startsWith("time decay"));
    expect(said[at]).toBe(
      "time decay: half-life 1y before 2024-01-01, 40 draws with replacement from 40 documents",
    );
    const rows = said
      .slice(at + 1, at + 11)
      .map((text) => /^ {2}(\d+): 4 documents, ([\d.]+) draws expected, (\d+) drawn$/.exec(text)!);
    expect(rows.map(([, year]) => Number(year))).toEqual(Array.from({ length: 10 }, (_, i) => 2015 + i));
    // four documents a year: w / W of the ten years, which are 365 or 366 days apart
    expect(Number(rows[9][2])).toBeCloseTo(40 * (0.5 / (1 - 0.5 ** 10)), 0);
    expect(rows.reduce((sum, [, , , drawn]) => sum + Number(drawn), 0)).toBe(40);
    const { summary } = only(ran.events, "data")[0];
    expect(summary.documents).toBe(40);
    const half = await run({ ...keys, time_decay_replacement: false });
    expect(only(half.events, "data")[0].summary.documents).toBe(8); // 4 x (1 + 1/2 + 1/4 + ...), rounded
  });

  it("draws the same from the same seed, and leaves what is held out alone", async () => {
    const blocks = async (other: RecipeInput) => only((await run({ ...keys, ...other })).events, "data")[0];
    const [a, b, c] = [await blocks({}), await blocks({}), await blocks({ seed: 7 })];
    expect(b).toEqual(a);
    expect(c.example.ids).not.toEqual(a.example.ids);
    const [held, plainly] = [
      await blocks({ val_size: 6 }),
      await blocks({ val_size: 6, time_decay_half_life: null }),
    ];
    expect(held.summary.evaluation).toEqual(plainly.summary.evaluation);
    expect(held.summary.documents).toBe(34);
  });

  it("takes the column from dataset_info.json, and one for each dataset", async () => {
    const info = path.join(DATED, "dataset_info.json");
    const before = readFileSync(info, "utf8");
    const entries = JSON.parse(before) as Record<string, { columns: Record<string, string> }>;
    entries.one.columns.date = "day";
    writeFileSync(info, JSON.stringify(entries));
    try {
      const ran = await run({ ...keys, dataset: "one,two", time_decay_column: { two: "year" } });
      expect(messages(ran).join("\n")).toContain(
        "before 2024-04-15, 60 draws with replacement from 60 documents",
      );
    } finally {
      writeFileSync(info, before);
    }
  });
});

describe("a curriculum by a score", () => {
  const one: RecipeInput = {
    ...KEYS,
    dataset_dir: datedData(),
    max_samples: null,
    disable_shuffling: true,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    max_steps: 40,
    curriculum_start: 1,
  };
  /** Tokens of each micro-step, which without packing are a document's. */
  const tokens = async (keys: RecipeInput) =>
    only((await run({ ...one, ...keys })).events, "microStep").map((event) => event.tokens);
  const rising = (numbers: number[]) => [...numbers].sort((a, b) => a - b);

  it("by length and by a column, in order: documents sorted by them, and equal ones as they stand", async () => {
    const plainly = await tokens({ packing: false });
    expect(await tokens({ packing: false, curriculum_by: "length" })).toEqual(rising(plainly));
    const grades = plainly.map((_, row) => (row * 7919) % 1009);
    const order = grades.map((_, row) => row).sort((a, b) => grades[a] - grades[b]);
    expect(await tokens({ packing: false, curriculum_by: "column grade" })).toEqual(
      order.map((row) => plainly[row]),
    );
  });

  it("by loss: the blocks as the model before training finds them", async () => {
    const keys = { ...one, learning_rate: 1e-30, warmup_ratio: 0, max_steps: 12 };
    const losses = async (other: RecipeInput) =>
      history((await run({ ...keys, ...other })).dir)
        .filter(({ loss }) => loss !== undefined)
        .map(({ loss }) => loss);
    const epoch = only((await run({ ...keys, max_steps: 1 })).events, "begin")[0].examples;
    const plainly = await losses({ max_steps: epoch });
    const sorted = await losses({ max_steps: epoch, curriculum_by: "loss" });
    expect(sorted).toEqual(rising(sorted));
    for (const [i, loss] of rising(plainly).entries()) expect(sorted[i]).toBeCloseTo(loss, 5);
    expect(plainly).not.toEqual(sorted);
  });

  it("opens the data as its pacing says, and says so", async () => {
    const ran = await run({
      ...one,
      packing: false,
      disable_shuffling: false,
      curriculum_by: "length",
      curriculum_start: 0.1,
      curriculum_duration: 0.5,
    });
    expect(messages(ran)).toContain(
      "curriculum by length: the easiest 10.0 % of each dataset at step 1, all of it from step 21 on",
    );
    const lengths = rising(await tokens({ packing: false }));
    for (const [step, event] of only(ran.events, "microStep").entries()) {
      const open = Math.min(1, Math.sqrt((step * (1 - 0.01)) / 20 + 0.01));
      expect(event.tokens).toBeLessThanOrEqual(lengths[Math.ceil(open * 40 - 1e-9) - 1]);
    }
  });

  it("holds within a mixture, beside time decay without copies, and in replay's company", async () => {
    const ran = await run({
      ...one,
      disable_shuffling: false,
      max_steps: 20,
      dataset: "one,three",
      mix_by: "tokens",
      curriculum_by: "length",
      time_decay_half_life: "5y",
      time_decay_column: "year",
      time_decay_replacement: false,
      replay_dataset: "two",
      replay_ratio: 0.2,
    });
    expect(history(ran.dir)[19].share_two).toBeCloseTo(0.2, 12);
  });
});

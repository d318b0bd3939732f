// Each method, and each way of packing, in two processes, which have the whole model each or a half of it, or share the
// rows of their batches: it gives what one process gives with twice the batch.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { trainRanks } from "../distributed/ranks.js";
import { distance, folder, history, type Ran, recipe, relative, run, weightsFile } from "../train/runs.js";
import { BASE, METHODS, PACKINGS, TUNINGS } from "./methods.js";

const rows: Record<string, RecipeInput> = { ...PACKINGS };
for (const [name, { keys, only }] of Object.entries(METHODS))
  rows[name] = { ...TUNINGS[only?.[0] ?? "lora"], ...keys };
const best: RecipeInput = {
  val_size: 0.2,
  eval_strategy: "steps",
  eval_steps: 2,
  per_device_eval_batch_size: 1,
  load_best_model_at_end: true,
  save_strategy: "steps",
};
rows["the best model"] = { ...TUNINGS["full"], ...best };
for (const tuning of ["lora", "freeze"]) rows[`the best model, ${tuning}`] = { ...TUNINGS[tuning], ...best };
for (const tuning of ["full", "freeze"])
  rows[`elastic weights, ${tuning}`] = { ...TUNINGS[tuning], ...METHODS["elastic weights"]!.keys };
rows["springs of tables beside an adapter"] = {
  ...{ ...TUNINGS["lora"], additional_target: "embed_tokens,lm_head" },
  ...METHODS["elastic weights"]!.keys,
};
for (const optim of ["adamw_bnb_8bit", "paged_adamw_32bit", "adafactor", "sgd"])
  rows[`${optim}, full`] = { ...TUNINGS["full"], optim };
rows["adafactor, freeze"] = { ...TUNINGS["freeze"], optim: "adafactor" };
rows["4 bits by FP4"] = { ...TUNINGS["lora"], quantization_bit: 4, quantization_type: "fp4" };
rows["streaming"] = { ...TUNINGS["lora"], streaming: true };
rows["streaming, full"] = { ...TUNINGS["full"], streaming: true, optim: "adafactor" };
for (const name of ["eval_domains", "forgetting report", "distillation", "easy data first"])
  rows[`${name}, full`] = { ...TUNINGS["full"], ...METHODS[name]!.keys };
rows["bf16"] = { ...TUNINGS["full"], bf16: true };
const names = Object.keys(rows);

const ROWS_SHARED: RecipeInput = { parallelism_config: { cp_size: 2 }, per_device_train_batch_size: 2 };
/** How two processes share a model, or the rows of a batch. */
const WAYS: Record<string, RecipeInput> = {
  whole: {},
  sharded: { fsdp: "full_shard auto_wrap" },
  "rows shared": ROWS_SHARED,
  "rows shared, sharded": { ...ROWS_SHARED, fsdp: "shard_grad_op" },
};

/** What decides which blocks are seen, and meets no weights. */
const WHOLE_ONLY = ["language tags", "replay", "mixture by tokens", "curriculum", "time decay"];

/** What meets rows in parts: documents, what looks at a pass or at an evaluation, rounding. */
const ROWS = [
  ...["neat_packing", "distillation", "extend_vocab", "curriculum", "easy data first"],
  ...["elastic weights", "the best model", "bf16", "4 bits", "8-bit integers", "fp8"],
  ...["eval_domains", "another optimizer", "optimizer in 8 bits", "streaming"],
];

const scoresOf = (dir: string): unknown =>
  JSON.parse(readFileSync(path.join(dir, "domain_results.json"), "utf8"));

/** The same figures under the same names. */
function expectAlike(ours: unknown, theirs: unknown, bound: number): void {
  if (typeof theirs === "number") {
    expect(relative(ours as number, theirs)).toBeLessThan(bound);
    return;
  }
  expect(Object.keys(ours as object)).toEqual(Object.keys(theirs as object));
  for (const [key, value] of Object.entries(theirs as object))
    expectAlike((ours as Record<string, unknown>)[key], value, bound);
}

/** What meets passes that take all processes in another way than both alone. */
const ROWS_SHARDED = [
  ...["eval_domains", "easy data first", "elastic weights", "distillation", "another optimizer"],
];

/** Masks are drawn by each process, so there is no dropout. */
const keysOf = (name: string): RecipeInput => ({
  ...BASE,
  save_strategy: "no",
  ...rows[name],
  lora_dropout: 0,
});

describe.skipIf(process.platform !== "linux")("in two processes", () => {
  const cases = names.flatMap((name) =>
    Object.keys(WAYS)
      .filter((way) => way !== "sharded" || !WHOLE_ONLY.includes(name))
      .filter((way) => way !== "rows shared" || ROWS.includes(name))
      .filter((way) => way !== "rows shared, sharded" || ROWS_SHARDED.includes(name))
      .map((way) => [name, way] as const),
  );
  const folders = new Map(cases.map((one) => [one.join(), folder()]));
  const ones = new Map<string, Promise<Ran>>();
  const inOne = (name: string): Promise<Ran> => {
    const known = ones.get(name) ?? run({ ...keysOf(name), per_device_train_batch_size: 2 });
    ones.set(name, known);
    return known;
  };
  // a hundred runs by two processes, on a machine that other tests share
  const limit = 600_000;
  beforeAll(
    () =>
      trainRanks(
        2,
        cases.map(([name, way]) =>
          recipe({
            ...keysOf(name),
            per_device_train_batch_size: 1,
            ...WAYS[way],
            output_dir: folders.get(`${name},${way}`)!,
          }),
        ),
      ),
    limit,
  );

  it.each(cases)("%s, %s", async (name, way) => {
    const { dir } = await inOne(name);
    const two = folders.get(`${name},${way}`)!;
    const [ours, theirs] = [history(two), history(dir)];
    expect(ours.map((entry) => Object.keys(entry))).toEqual(theirs.map((entry) => Object.keys(entry)));
    const figures = /loss$|^grad_norm$|^share_|^epoch$/;
    const bound = name === "bf16" ? 2e-2 : 1e-4; // every sum over tokens is rounded to 8 bits
    for (const [at, entry] of theirs.entries())
      for (const key of Object.keys(entry).filter((one) => figures.test(one)))
        expect(relative(ours[at][key], entry[key]), `${key} of step ${entry["step"]}`).toBeLessThan(bound);
    expect(distance(weightsFile(two), weightsFile(dir))).toBeLessThan(10 * bound);
    const domains = path.join(dir, "domain_results.json");
    expect(existsSync(path.join(two, "domain_results.json"))).toBe(existsSync(domains));
    if (existsSync(domains)) expectAlike(scoresOf(two), scoresOf(dir), bound);
  });
});

// Processes that share the rows of their batches, against one process that has them whole: the same steps, whatever is
// packed, trained, recomputed and divided; with and without other groups.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import { trainRanks } from "./ranks.js";
import { EVALUATED, FULL, TinyRuns } from "./tiny-runs.js";

const shared = (cp_size: number): RecipeInput => ({ parallelism_config: { cp_size } });

describe.skipIf(process.platform !== "linux")("processes that share rows", () => {
  let runs: TinyRuns;
  beforeAll(() => {
    runs = new TinyRuns();
  });
  afterAll(() => runs.remove());

  /** By the run of one process: what all have, and what only those have that share rows; rows of two parts. */
  const cases: Record<string, { keys: RecipeInput; shared: Record<string, RecipeInput> }> = {
    // 22 tokens are no four chunks
    lora: {
      keys: { cutoff_len: 22, ...EVALUATED },
      shared: { recomputed: {} },
    },
    documents: {
      keys: { neat_packing: true, cutoff_len: 48, ...FULL },
      shared: {
        selective: { gradient_checkpointing: "selective" },
        "full_shard too": { fsdp: "full_shard auto_wrap" },
      },
    },
  };
  const names = Object.entries(cases).flatMap(([one, { shared }]) =>
    Object.keys(shared).map((name) => [one, name] as const),
  );
  const wide = { cutoff_len: 48, neat_packing: true } as const;

  beforeAll(async () => {
    const two = { ...shared(2), per_device_train_batch_size: 2 };
    const recipes = names.map(([one, name]) =>
      runs.recipe(`${one}, ${name}`, { ...cases[one]!.keys, ...cases[one]!.shared[name], ...two }),
    );
    await trainRanks(2, [
      ...recipes,
      runs.recipe("wide, 2", { ...wide, ...runs.wide, ...two, gradient_checkpointing: false }),
    ]);
    // two groups of two, with separate batches; and one group of four
    await trainRanks(4, [
      runs.recipe("wide, 2 x 2", { ...wide, ...runs.wide, ...shared(2), per_device_train_batch_size: 1 }),
      runs.recipe("wide, 4", { ...wide, ...runs.wide, ...shared(4), per_device_train_batch_size: 2 }),
    ]);
    for (const [one, { keys }] of Object.entries(cases)) await runs.alone(one, keys);
    await runs.alone("wide, 1", { ...wide, ...runs.wide });
  }, 300_000); // on a machine that other tests share

  it.each(names)("%s, %s: fp32 to 1e-5, each step", (one, name) => {
    const run = `${one}, ${name}`;
    expect(runs.apart(run, one, "loss")).toBeLessThan(1e-5);
    expect(runs.apart(run, one, "grad_norm")).toBeLessThan(1e-4);
    expect(runs.weightsApart(run, one, one === "lora" ? undefined : "model")).toBeLessThan(1e-4);
    expect(runs.steps(run).map(({ epoch }) => epoch)).toEqual(runs.steps(one).map(({ epoch }) => epoch));
    const evaluations = runs.evaluations(one);
    expect(runs.evaluations(run)).toHaveLength(evaluations.length);
    for (const [at, loss] of runs.evaluations(run).entries())
      expect(Math.abs(loss / evaluations[at]! - 1)).toBeLessThan(1e-5);
  });

  it.each(["wide, 2", "wide, 2 x 2", "wide, 4"])("%s: fp64 to 1e-9, each step", (run) => {
    expect(runs.weights(run).values().next().value?.dtype).toBe("float64");
    expect(runs.apart(run, "wide, 1", "grad_norm")).toBeLessThan(1e-9);
    expect(runs.weightsApart(run, "wide, 1")).toBeLessThan(1e-9);
  });
});

describe("what cannot be shared is one line", () => {
  const resolve = (keys: RecipeInput) =>
    resolveRecipe({ model_name_or_path: "m", dataset: "d", output_dir: "o", ...keys });
  const two = { nproc_per_node: 2 } as const;

  it.each<[RecipeInput, RegExp]>([
    [{ parallelism_config: 2 as never }, /^recipe: parallelism_config: expected a JSON file's path, or keys/],
    [{ parallelism_config: "none.json" }, /^recipe: parallelism_config: there is no file none.json; name/],
    [
      { ...two, parallelism_config: { cp_size: 0 } },
      /^recipe: parallelism_config: cp_size: 0 is refused: expected a whole number from 1 on$/,
    ],
    [
      { ...two, parallelism_config: { tp_size: 2 } },
      /tp_size: 2 is refused: single layers are not divided in this/,
    ],
    [
      { ...two, parallelism_config: { cp: 2 } },
      /^recipe: parallelism_config: cp: 2 is refused: not known here/,
    ],
    [
      { nproc_per_node: 3, ...shared(2) },
      /^recipe: parallelism_config: 3 processes are no groups of cp_size 2; start a multiple of it$/,
    ],
    [
      { ...two, ...shared(2), flash_attn: "sdpa" },
      /^recipe: flash_attn: rows that are divided have a separate/,
    ],
  ])("%j", (keys, line) => {
    expect(() => resolve(keys)).toThrow(line);
  });

  it("and with one process nothing is", () => {
    const { recipe, notes } = resolve(shared(2));
    expect(recipe.parallelism_config).toBeNull();
    expect(notes).toEqual([
      "recipe: parallelism_config has no effect with one process; start several with nproc_per_node",
    ]);
  });
});

// Each method, and each way of packing, in two processes: it gives what one process gives with twice the batch.
import { beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { trainRanks } from "../distributed/ranks.js";
import { distance, folder, history, recipe, relative, run, weightsFile } from "../train/runs.js";
import { BASE, METHODS, PACKINGS, TUNINGS } from "./methods.js";

const rows: Record<string, RecipeInput> = { ...PACKINGS };
for (const [name, { keys, only }] of Object.entries(METHODS))
  rows[name] = { ...TUNINGS[only?.[0] ?? "lora"], ...keys };
const names = Object.keys(rows);
/** Masks are drawn by each process, so there is no dropout. */
const keysOf = (name: string): RecipeInput => ({
  ...BASE,
  ...rows[name],
  lora_dropout: 0,
  save_strategy: "no",
});

describe.skipIf(process.platform !== "linux")("in two processes", () => {
  const folders: Record<string, string> = Object.fromEntries(names.map((name) => [name, folder()]));
  beforeAll(() =>
    trainRanks(
      2,
      names.map((name) =>
        recipe({ ...keysOf(name), per_device_train_batch_size: 1, output_dir: folders[name] }),
      ),
    ),
  );

  it.each(names)("%s", async (name) => {
    const { dir } = await run({ ...keysOf(name), per_device_train_batch_size: 2 });
    const [ours, theirs] = [history(folders[name]), history(dir)];
    expect(ours.map((entry) => Object.keys(entry))).toEqual(theirs.map((entry) => Object.keys(entry)));
    const figures = /loss$|^grad_norm$|^share_|^epoch$/;
    for (const [at, entry] of theirs.entries())
      for (const key of Object.keys(entry).filter((one) => figures.test(one)))
        expect(relative(ours[at][key], entry[key]), `${key} of step ${entry["step"]}`).toBeLessThan(1e-4);
    expect(distance(weightsFile(folders[name]), weightsFile(dir))).toBeLessThan(1e-3);
  });
});

// Two processes against LLaMA-Factory 0.9.5 under torchrun with two (test/fixtures/train/ranks.py): the same blocks on
// each rank, and the same losses and gradient norms, step by step. And accelerate's shares, case by case.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import { loadTokenizer, prepareTrainingData } from "../../lib/data/index.js";
import { blockOrder } from "../../lib/train/batches/block-order.js";
import { planRun } from "../../lib/train/plan/plan.js";
import { shareOfRank } from "../../lib/train/strategy/batch-shares.js";
import { fixture, folder, history, plain, recipe, relative } from "../train/runs.js";
import { trainRanks } from "./ranks.js";

type Entry = Record<string, number>;
interface Made {
  shares: { samples: number; batch: number; size: number; dropLast: boolean; ranks: number[][][] }[];
  runs: Record<string, { keys: RecipeInput; rows: string[][][]; log_history: Entry[] }>;
}
const { shares, runs } = JSON.parse(readFileSync(fixture("ranks.json"), "utf8")) as Made;
const names = Object.keys(runs);

const digest = (ids: ArrayLike<number>) =>
  createHash("sha256").update(Array.from(ids).join(",")).digest("hex").slice(0, 12);

it("each rank's samples are accelerate's, for every size, batch and drop_last", () => {
  expect(shares.length).toBeGreaterThan(100);
  for (const { samples, batch, size, dropLast, ranks } of shares) {
    const all = Int32Array.from({ length: samples }, (_, at) => at);
    const ours = ranks.map((_, rank) => [...shareOfRank(all, batch, dropLast, { rank, size })]);
    expect(ours, JSON.stringify({ samples, batch, size, dropLast })).toEqual(
      ranks.map((rank) => rank.flat()),
    );
  }
});

describe.skipIf(process.platform !== "linux")("with two processes", () => {
  const folders: Record<string, string> = Object.fromEntries(names.map((name) => [name, folder()]));
  beforeAll(() =>
    trainRanks(
      2,
      names.map((name) => recipe({ ...runs[name].keys, output_dir: folders[name] })),
    ),
  );

  it.each(names)("%s: the blocks of each rank are LLaMA-Factory's", async (name) => {
    const { recipe: resolved } = resolveRecipe(recipe({ ...runs[name].keys, output_dir: folders[name] }));
    const tokenizer = await loadTokenizer(resolved.model_name_or_path);
    const { blocks } = await prepareTrainingData(resolved, tokenizer);
    const { stepsPerEpoch, totalSteps } = planRun(resolved, blocks.length, 2);
    const order = blockOrder(resolved, blocks.length);
    const { per_device_train_batch_size: batch, dataloader_drop_last: dropLast } = resolved;
    for (const [rank, theirs] of runs[name].rows.entries()) {
      const ours: string[] = [];
      for (let epoch = 0; epoch < Math.ceil(totalSteps / stepsPerEpoch); epoch++)
        for (const block of shareOfRank(order.order(epoch), batch, dropLast, { rank, size: 2 }))
          ours.push(digest(blocks.get(block)));
      expect(theirs.flat().length).toBeGreaterThan(4);
      expect(ours.slice(0, theirs.flat().length)).toEqual(theirs.flat());
    }
  });

  it.each(names)("%s: losses, norms and all that is counted are LLaMA-Factory's", (name) => {
    const [ours, theirs] = [history(folders[name]), runs[name].log_history];
    const computed = /loss$|^grad_norm$/;
    const exact = (entry: object) =>
      Object.fromEntries(Object.entries(plain(entry)).filter(([key]) => !computed.test(key)));
    expect(ours.map(exact)).toEqual(theirs.map(exact));
    const worst = (key: string) =>
      Math.max(0, ...theirs.map((entry, at) => (key in entry ? relative(ours[at][key], entry[key]) : 0)));
    const [loss, evaluated, norm] = [worst("loss"), worst("eval_loss"), worst("grad_norm")];
    process.stdout.write(
      `  ${name.padEnd(12)} loss ${loss.toExponential(1)}  eval_loss ${evaluated.toExponential(1)}  grad_norm ${norm.toExponential(1)}\n`,
    );
    expect(loss).toBeLessThan(1e-6);
    expect(evaluated).toBeLessThan(1e-6);
    expect(norm).toBeLessThan(1e-4);
  });
});

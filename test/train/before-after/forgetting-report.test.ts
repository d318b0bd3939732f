// The forgetting report: its figures are the scorer's of the two models opened by themselves, a resumed run has those of
// its beginning, and training does not notice.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { readDatasetInfo, readDocuments } from "../../../lib/data/index.js";
import { type Score, scoreDocuments, totalScore } from "../../../lib/evaluate/index.js";
import { openModel } from "../../../lib/inference/index.js";
import { fixture, folder, only, run, stopIn, weightsFile } from "../runs.js";

const BARE = { max_steps: 4, max_samples: 12, plot_loss: false, save_steps: 2, eval_dataset: "one" } as const;
const KEYS = { ...BARE, forgetting_dataset: "two", forgetting_samples: 5 } as const;

interface Report {
  sets: { data: string; role: string; before: Score; after: Score; change: Record<string, number> }[];
  recipe: Record<string, unknown>;
}

const file = (dir: string, end: string): string => path.join(dir, `forgetting_report.${end}`);
const reportOf = (dir: string): Report => JSON.parse(readFileSync(file(dir, "json"), "utf8")) as Report;

async function scored(dataset: string, adapters: string[], count: number): Promise<Score> {
  const texts: string[] = [];
  for await (const text of readDocuments(readDatasetInfo(fixture("data"), [dataset])[0]!)) texts.push(text);
  const { model, tokenizer } = await openModel({ model: fixture("model"), adapters });
  const some = texts.slice(0, 12).filter((text) => text !== "");
  return totalScore(
    await scoreDocuments(model, tokenizer, some.slice(0, count), { device: "cpu", length: 48 }),
  );
}

it("has the figures of the model before and of the model after, general text and the domain's own", async () => {
  const { dir, events } = await run(KEYS);
  const { sets, recipe } = reportOf(dir);
  expect(sets.map(({ data, role }) => [data, role])).toEqual([
    ["two", "general"],
    ["one", "domain"],
  ]);
  for (const { data, before, after, change } of sets) {
    for (const [found, adapters] of [
      [before, []],
      [after, [dir]],
    ] as const) {
      const expected = await scored(data, [...adapters], 5);
      expect(found).toMatchObject({ documents: expected.documents, tokens: expected.tokens });
      expect(Math.abs(found.nats / expected.nats - 1)).toBeLessThan(1e-5);
    }
    expect(change["loss"]).toBeCloseTo(Math.log(after.perplexity / before.perplexity), 9);
    expect(change["perplexityRatio"]).toBeCloseTo(after.perplexity / before.perplexity, 9);
  }
  expect(recipe).toEqual({ learning_rate: 0.006 });
  const text = readFileSync(file(dir, "txt"), "utf8");
  const general = sets[0];
  expect(text).toContain(
    `two (general): ${general.after.bitsPerCharacter > general.before.bitsPerCharacter ? "forgot" : "kept"}, ` +
      `${general.before.bitsPerCharacter.toFixed(3)} -> ${general.after.bitsPerCharacter.toFixed(3)} bits a character`,
  );
  expect(text).toMatch(/\nlearning_rate: 0\.006\n$/);
  const picture = readFileSync(file(dir, "png"));
  expect(picture.subarray(1, 4).toString()).toBe("PNG");
  expect([picture.readUInt32BE(16), picture.readUInt32BE(20)]).toEqual([1280, 960]);
  const written = only(events, "file").filter(({ what }) => what === "forgetting report");
  expect(written.map(({ path }) => path)).toEqual(["txt", "json", "png"].map((end) => file(dir, end)));
  expect(only(events, "domains").at(-1)?.rows).toHaveLength(4);
});

it("says after an interruption what was before the first step, and changes nothing of the training", async () => {
  const [bare, whole] = [await run(BARE), await run(KEYS)];
  expect(readFileSync(weightsFile(whole.dir)).equals(readFileSync(weightsFile(bare.dir)))).toBe(true);
  expect(existsSync(file(bare.dir, "json"))).toBe(false);
  const dir = folder();
  await run({ ...KEYS, output_dir: dir }, stopIn(4, 1));
  expect(existsSync(file(dir, "json"))).toBe(false);
  await run({ ...KEYS, output_dir: dir, overwrite_output_dir: false });
  expect(reportOf(dir)).toEqual(reportOf(whole.dir));
});

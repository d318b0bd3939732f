// `eval_domains`: the figures before and after are those that the models have when each is opened by itself, training
// does not notice that it is watched, and a resumed run remembers what was before it began.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { readDatasetInfo, readDocuments } from "../../../lib/data/index.js";
import type { DomainReport } from "../../../lib/evaluate/index.js";
import { type Score, scoreDocuments, scoreTable, totalScore } from "../../../lib/evaluate/index.js";
import type { TrainEvent } from "../../../lib/events.js";
import { openModel } from "../../../lib/inference/index.js";
import { distance, fixture, folder, only, run, stopIn, weightsFile } from "../runs.js";

const KEYS = { max_steps: 3, max_samples: 12, plot_loss: false, lora_dropout: 0.2, save_steps: 2 } as const;
const WATCHED = { ...KEYS, eval_domains: "two,one" } as const;

/** The score of a dataset's first 12 documents by a model that is opened for it. */
async function scored(dataset: string, adapters: string[], length: number): Promise<Score> {
  const texts: string[] = [];
  for await (const text of readDocuments(readDatasetInfo(fixture("data"), [dataset])[0]!)) texts.push(text);
  const { model, tokenizer } = await openModel({ model: fixture("model"), adapters });
  const some = texts.slice(0, 12).filter((text) => text !== "");
  return totalScore(await scoreDocuments(model, tokenizer, some, { device: "cpu", length }));
}

const report = (dir: string): DomainReport =>
  JSON.parse(readFileSync(path.join(dir, "domain_results.json"), "utf8")) as DomainReport;
const tables = (events: TrainEvent[]) =>
  only(events, "domains").map(({ rows }) => rows.map(({ data, model }) => `${data} ${model}`).join());

it.each(["plain", "with an extended vocabulary"])(
  "before and after are the two models' own, %s",
  async (kind) => {
    const more = kind === "plain" ? {} : { extend_vocab: 50, extend_vocab_min_count: 2 };
    const { dir, events, result } = await run({ ...WATCHED, ...more });
    const found = report(dir);
    const length = JSON.parse(readFileSync(path.join(dir, "training_args.json"), "utf8"))
      .cutoff_len as number;
    for (const name of ["two", "one"]) {
      for (const [moment, adapters] of Object.entries({ before: [], after: [dir] })) {
        const expected = await scored(name, adapters, length);
        const score = found[name]?.[moment as "before"] as Score;
        expect(score).toMatchObject({ documents: expected.documents, tokens: expected.tokens });
        expect(score.characters).toBe(expected.characters);
        expect(Math.abs(score.nats / expected.nats - 1)).toBeLessThan(1e-5);
      }
    }
    expect(found["one"]?.after?.tokens === found["one"]?.before?.tokens).toBe(kind === "plain");
    expect(result.domains).toEqual(found);
    expect(tables(events)).toEqual(["two before,one before", "two before,two after,one before,one after"]);
  },
);

it("changes nothing of the training, and a resumed run has the figures of its beginning", async () => {
  const [bare, watched] = [await run(KEYS), await run(WATCHED)];
  expect(distance(weightsFile(watched.dir), weightsFile(bare.dir))).toBe(0);
  expect(existsSync(path.join(bare.dir, "domain_results.json"))).toBe(false);
  const scratch = { ...WATCHED, finetuning_type: "full", train_from_scratch: true } as const;
  for (const [keys, whole] of [
    [WATCHED, watched],
    [scratch, await run(scratch)],
  ] as const) {
    const half = await run(keys, stopIn(3, 1));
    expect(half.result).toMatchObject({ interrupted: true, steps: 2 });
    const again = await run({ ...keys, output_dir: half.dir, overwrite_output_dir: false });
    expect(report(again.dir)).toEqual(report(whole.dir));
    expect(distance(weightsFile(again.dir), weightsFile(whole.dir))).toBe(0);
  }
  // one that begins to be watched later has the base model's figures
  const later = await run({ ...WATCHED, resume_from_checkpoint: path.join(bare.dir, "checkpoint-2") });
  for (const name of ["two", "one"])
    expect(later.result.domains?.[name]?.before?.nats).toBeCloseTo(
      report(watched.dir)[name]?.before?.nats ?? 0,
      2,
    );
});

it("a language tag is read before a text and is no part of its figures", async () => {
  const tagged = { ...KEYS, eval_domains: "two", max_steps: 1 };
  const [with_, without] = [
    await run({ ...tagged, language_tag: { two: "zh", one: "zh" } }),
    await run(tagged),
  ];
  const [a, b] = [report(with_.dir)["two"]?.before, report(without.dir)["two"]?.before];
  expect([a?.tokens, a?.characters]).toEqual([b?.tokens, b?.characters]);
  expect(a?.nats).not.toBe(b?.nats);
});

it("the table compares perplexities of one tokenizer, and bits per character of two", () => {
  const score = (tokens: number, nats: number): Score => ({
    ...totalScore([{ tokens, characters: 1000, nats, correct: 10 }]),
  });
  const table = (after: Score) =>
    scoreTable([
      { data: "prose", model: "before", score: score(1000, 2000) },
      { data: "prose", model: "after", score: after },
    ]).split("\n")[2];
  expect(table(score(1000, 1900))).toMatch(/ perplexity -9\.5 %$/); // exp(-0.1) - 1
  expect(table(score(800, 2100))).toMatch(/ bits\/char \+5\.0 %$/);
});

it("an unknown name and a set without text are said before anything is trained", async () => {
  await expect(run({ ...KEYS, eval_domains: "nowhere" })).rejects.toThrow(
    /^dataset: nowhere is not defined in .*name one of these/,
  );
  const dir = folder();
  const entry = (file_name: string) => ({ file_name, columns: { prompt: "text" } });
  const info = { one: entry(fixture("data", "one.jsonl")), empty: entry("empty.jsonl") };
  writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify(info));
  writeFileSync(path.join(dir, "empty.jsonl"), '{"text": ""}\n');
  await expect(run({ ...KEYS, dataset_dir: dir, eval_domains: "empty" })).rejects.toThrow(
    /^eval_domains: empty has no text; /,
  );
});

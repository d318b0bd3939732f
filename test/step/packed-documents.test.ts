// Documents that are packed and kept apart (`neat_packing`): a document's logits, loss and gradients in a packed row are
// those that it has alone; the blocks are pt's own.
import { describe, expect, it } from "vitest";
import { resolveRecipe } from "../../lib/config/index.js";
import { packBlocks } from "../../lib/data/blocks/packing.js";
import {
  batchOf,
  collate,
  loadTokenizer,
  prepareTrainingData,
  type TokenBlocks,
} from "../../lib/data/index.js";
import type { Qwen3ForCausalLM } from "../../lib/models/families/qwen3/index.js";
import { microStep } from "../../lib/step/micro-step.js";
import { noGrad, type Tensor, tensor } from "../../lib/torch/index.js";
import * as models from "../fixtures/model/read.js";
import { history, recipe, run } from "../train/runs.js";

/** No token of the documents. */
const PAD = 95;
const LENGTHS = [7, 1, 23, 17, 48];
const total = LENGTHS.reduce((sum, length) => sum + length, 0);
const starts = Int32Array.from(LENGTHS.map((_, i) => LENGTHS.slice(0, i).reduce((sum, n) => sum + n, 0)));
const ids = Int32Array.from({ length: total }, (_, i) => (i * 37 + (i >> 3)) % 90);

const document = (i: number): Int32Array =>
  ids.subarray(starts[i] as number, (starts[i] as number) + (LENGTHS[i] as number));

/** Logits of a batch, documents kept apart where it says so. */
function logitsOf(model: Qwen3ForCausalLM, batch: ReturnType<typeof collate>): Tensor {
  const input = tensor(batch.inputIds, { shape: [batch.batch, batch.length], dtype: "int64" });
  let hidden = model.embed(input);
  const { documents } = batch;
  const rope =
    documents === undefined
      ? model.rope(batch.length, hidden)
      : model.packed(documents, batch.batch, batch.length, hidden);
  for (const layer of model.layers) hidden = layer.forward(hidden, rope);
  return model.head(model.norm(hidden));
}

describe("a packed document", () => {
  it.each([
    ["float64", 1e-12],
    ["float32", 2e-6],
  ] as const)("has the logits that it has alone, in %s", (dtype, bound) => {
    const model = models.model("untied", dtype);
    noGrad(() => {
      const packed = logitsOf(
        model,
        collate([ids, ids.subarray(0, 31)], PAD, [starts, starts.subarray(0, 3)]),
      );
      const joined = logitsOf(model, collate([ids], 0));
      for (const [i, start] of starts.entries()) {
        const alone = logitsOf(model, collate([document(i)], 0)).select(0, 0);
        const here = packed.select(0, 0).narrow(0, start, LENGTHS[i] as number);
        expect(models.distance(here, alone)).toBeLessThan(bound);
        if (i < 3) {
          const second = packed.select(0, 1).narrow(0, start, LENGTHS[i] as number);
          expect(models.distance(second, alone)).toBeLessThan(bound);
        }
        // without the boundaries it sees what came before
        const mixed = joined.select(0, 0).narrow(0, start, LENGTHS[i] as number);
        if (i > 0) expect(models.distance(mixed, alone)).toBeGreaterThan(1e-2);
      }
    });
  });

  it("gives the loss and the gradients that it gives alone, checkpointed or not", () => {
    const step = (batches: ReturnType<typeof collate>[], checkpointing: boolean) => {
      const model = models.model("untied", "float64");
      model.requiresGrad_();
      model.train();
      const options = { device: "cpu", compute: undefined, checkpointing, scale: 1 / 90 } as const;
      const loss = batches.reduce((sum, batch) => sum + microStep(model, batch, options), 0);
      return { loss, grads: new Map([...model.namedParameters()].map(([name, p]) => [name, p.grad])) };
    };
    const alone = step(
      LENGTHS.map((_, i) => collate([document(i)], PAD)),
      false,
    );
    for (const checkpointing of [false, true]) {
      const packed = step([collate([ids], PAD, [starts])], checkpointing);
      expect(packed.loss).toBeCloseTo(alone.loss, 12);
      for (const [name, gradient] of packed.grads)
        expect(models.distance(gradient, alone.grads.get(name)), name).toBeLessThan(1e-12);
    }
  });
});

describe("a batch", () => {
  it("says where documents begin over all its rows, counts padding as documents and gives beginnings no label", () => {
    const rows = [Int32Array.of(5, 6, 7, 8), Int32Array.of(9, 10)];
    const batch = collate(rows, 0, [Int32Array.of(0, 3), Int32Array.of(0)]);
    expect([...(batch.documents ?? [])]).toEqual([0, 3, 4, 6, 8]);
    expect([...batch.labels]).toEqual([-100, 6, 7, -100, -100, 10, -100, -100]);
    expect(collate(rows, 0).documents).toBeUndefined();
  });
});

describe("blocks", () => {
  const lengths = [5, 0, 3, 14, 2, 2, 9, 1, 30, 4];
  const bounds = [0];
  for (const length of lengths) bounds.push((bounds.at(-1) as number) + length);
  const corpus = {
    documents: lengths.length,
    tokens: bounds.at(-1) as number,
    start: (document: number) => bounds[document] as number,
    slice: (from: number, length: number) => Int32Array.from({ length }, (_, i) => from + i),
    load: async (from: number, length: number) => corpus.slice(from, length),
  };

  it.each([
    [6, 1000],
    [7, 4],
    [1, 3],
  ])(
    "of %i tokens, %i documents at a time, know every document that begins in them",
    (blockLength, batchSize) => {
      const layout = { blockLength, batchSize, packing: true, workers: 2, bosId: undefined };
      const [apart, plain] = [packBlocks(corpus, { ...layout, isolated: true }), packBlocks(corpus, layout)];
      expect(apart.length).toBe(plain.length);
      expect(plain.starts).toBeUndefined();
      for (let i = 0; i < apart.length; i++) {
        const block = apart.get(i);
        expect([...block]).toEqual([...plain.get(i)]);
        const expected = [...block].flatMap((token, at) => (at === 0 || bounds.includes(token) ? at : []));
        expect([...(apart as Required<TokenBlocks>).starts(i)]).toEqual(expected);
      }
    },
  );

  it("of a recipe are those of packing, and a run over them learns", async () => {
    const keys = { neat_packing: true, bf16: false } as const;
    const { recipe: resolved } = resolveRecipe(recipe(keys));
    const tokenizer = await loadTokenizer(resolved.model_name_or_path);
    const { blocks, summary } = await prepareTrainingData(resolved, tokenizer);
    const [eos] = await tokenizer.encode(summary.separator);
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks.get(i);
      const after = [...block].flatMap((id, at) => (id === eos && at + 1 < block.length ? at + 1 : []));
      expect([...(blocks as Required<TokenBlocks>).starts(i)]).toEqual([0, ...after]);
    }
    expect(batchOf(blocks, [0, 1], 0).documents?.at(-1)).toBe(2 * resolved.cutoff_len);

    const { dir } = await run(keys);
    const plain = await run({ bf16: false });
    const losses = (of: string): number[] => history(of).flatMap(({ loss }) => loss ?? []);
    expect(losses(dir)).toHaveLength(losses(plain.dir).length);
    expect(losses(dir)).not.toEqual(losses(plain.dir));
    expect(losses(dir).at(-1)).toBeLessThan(0.9 * (losses(dir)[0] as number));
  });
});

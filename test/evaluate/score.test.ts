// Document scores against the same figures from whole logits, one document at a time.
import { expect, it } from "vitest";
import { scoreDocuments, totalScore } from "../../lib/evaluate/index.js";
import { crossEntropy, noGrad, tensor } from "../../lib/torch/index.js";
import * as fixture from "../fixtures/model/read.js";

const EOS = 3;
/** A token a character: its place in the alphabet. */
const tokenizer = {
  eosId: EOS,
  encodeBatch: async (texts: readonly string[]) =>
    texts.map((text) => Int32Array.from([...text], (one) => 5 + ((one.codePointAt(0) as number) % 50))),
};
const model = fixture.model("tied", "float64");
const options = { device: "cpu" } as const;

/** Summed -ln p, and hits, of the targets from `from` on, given everything before them. */
function direct(ids: readonly number[], from = 0): { nats: number; correct: number } {
  return noGrad(() => {
    const logits = model.forward({ inputIds: tensor([ids.slice(0, -1)], { dtype: "int64" }) });
    const rows = logits.flatten(0, 1).slice(0, from);
    const targets = tensor(ids.slice(1 + from), { dtype: "int64" });
    return {
      nats: Number(crossEntropy(rows, targets, undefined, 2).item()),
      correct: Number(rows.argmax(-1).eq(targets).sum().item()),
    };
  });
}

const framed = async (text: string) => [
  EOS,
  ...((await tokenizer.encodeBatch([text]))[0] as Int32Array),
  EOS,
];

it("are what whole logits say, whatever stands beside a document", async () => {
  const texts = ["鄭伯克段於鄢", "b", "a longer one, with several words in it", "學而時習之"];
  const scores = await scoreDocuments(model, tokenizer, texts, options);
  for (const [index, text] of texts.entries()) {
    const { nats, correct } = direct(await framed(text));
    expect(scores[index]?.nats).toBeCloseTo(nats, 10);
    expect(scores[index]).toMatchObject({
      correct,
      characters: [...text].length,
      tokens: [...text].length + 1,
    });
  }
  const total = totalScore(scores);
  expect(total.perplexity).toBeCloseTo(Math.exp(total.nats / total.tokens), 10);
  expect(total.bitsPerCharacter * total.characters * Math.LN2).toBeCloseTo(total.nats, 8);
  expect(total).toMatchObject({ documents: 4, characters: 50, tokens: 54 });
});

it("read a long document in windows that overlap by half, each token once", async () => {
  const text = "a long document that no window holds";
  const ids = await framed(text);
  const [score] = await scoreDocuments(model, tokenizer, [text], { ...options, length: 16 });
  let nats = direct(ids.slice(0, 17)).nats;
  for (let start = 8, scored = 16; scored < ids.length - 1; start += 8) {
    nats += direct(ids.slice(start, start + 17), scored - start).nats;
    scored = Math.min(start + 16, ids.length - 1);
  }
  expect(score?.nats).toBeCloseTo(nats, 10);
  expect(score?.tokens).toBe(text.length + 1);
  const [whole] = await scoreDocuments(model, tokenizer, [text], options);
  expect(whole?.nats).not.toBeCloseTo(nats, 6);
});

it("read a context in front of every text, and score the text alone", async () => {
  const [first, long] = await scoreDocuments(
    model,
    tokenizer,
    ["a text", "a text that no window holds whole"],
    {
      ...options,
      context: "[tag]",
      length: 16,
    },
  );
  expect(first?.nats).toBeCloseTo(direct(await framed("[tag]a text"), 5).nats, 10);
  expect(first).toMatchObject({ tokens: 7, characters: 6 });
  expect(long?.tokens).toBe("a text that no window holds whole".length + 1);
  const [alone] = await scoreDocuments(model, tokenizer, ["a text"], { ...options, context: "" });
  expect(alone?.nats).toBeCloseTo(direct(await framed("a text")).nats, 10);
});

it("leave the model as it was and stop when asked", async () => {
  model.train();
  await scoreDocuments(model, tokenizer, ["one"], options);
  expect(model.training).toBe(true);
  const signal = AbortSignal.abort();
  await expect(scoreDocuments(model, tokenizer, ["one"], { ...options, signal })).rejects.toThrow("abort");
  expect(model.training).toBe(true);
});

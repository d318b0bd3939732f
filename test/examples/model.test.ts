// The embedded model in examples/model: its size, the figures that its card states, and that transformers reads it
// and its tokenizer with the same logits and tokens.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { readDatasetInfo, readDocuments } from "../../lib/data/index.js";
import { scoreDocuments, totalScore } from "../../lib/evaluate/index.js";
import { openModel } from "../../lib/inference/index.js";
import { loadSafetensors, noGrad, tensor } from "../../lib/torch/index.js";
import * as fixture from "../fixtures/model/read.js";

const folder = fileURLToPath(new URL("../../examples/model/", import.meta.url));
const data = fileURLToPath(new URL("../../examples/data/", import.meta.url));
const card = readFileSync(path.join(folder, "README.md"), "utf8");
const scratch = mkdtempSync(path.join(tmpdir(), "qwen-pt-model-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function texts(name: string): Promise<string[]> {
  const [entry] = readDatasetInfo(data, [name]);
  const all: string[] = [];
  for await (const text of readDocuments(entry!)) all.push(text);
  return all;
}

const { model, tokenizer } = await openModel({ model: folder });

describe("the embedded model", () => {
  it("is small", () => {
    const parameters = model.parameters().reduce((sum, one) => sum + one.numel(), 0);
    expect(parameters).toBeGreaterThan(3e6);
    expect(parameters).toBeLessThan(5e6);
    const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);
    expect(bytes).toBeLessThan(12e6);
    expect(tokenizer.vocabSize).toBe(8192);
  });

  it.each(["poetry_heldout", "prose_heldout"])("has the figures of its card: %s", async (name) => {
    const stated = new RegExp(
      `\\(\`${name}\`\\) \\| (\\d+) \\| ([\\d.]+) \\| ([\\d.]+) \\| ([\\d.]+) %`,
    ).exec(card);
    const all = await texts(name);
    const score = totalScore(await scoreDocuments(model, tokenizer, all, { device: "cpu", length: 512 }));
    expect(Number(stated?.[1])).toBe(all.length);
    // bfloat16 products are rounded differently from one processor to another
    expect(score.perplexity / Number(stated?.[2])).toBeCloseTo(1, 2);
    expect(score.bitsPerCharacter).toBeCloseTo(Number(stated?.[3]), 1);
    expect(100 * score.accuracy).toBeCloseTo(Number(stated?.[4]), 0);
  });

  it("is read by transformers, tokenizer and all", async () => {
    const python = process.env.QWEN_PT_REFERENCE_PYTHON;
    if (python === undefined)
      throw new Error("QWEN_PT_REFERENCE_PYTHON is not set: run the tests with npm test");
    const poem = (await texts("poetry_heldout"))[0] as string;
    const ids = [...(await tokenizer.encode(poem))];
    const out = path.join(scratch, "logits.safetensors");
    const jobs = path.join(scratch, "jobs.json");
    writeFileSync(jobs, JSON.stringify([{ model: folder, adapter: null, prompt: ids, out, greedy: false }]));
    writeFileSync(path.join(scratch, "poem.txt"), poem);
    const env = { ...process.env, OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1" };
    execFileSync(python, [fixture.path("load.py"), jobs], { env });
    const code = [
      "import sys, json, transformers",
      "t = transformers.AutoTokenizer.from_pretrained(sys.argv[1])",
      "print(json.dumps(t(open(sys.argv[2], encoding='utf-8', newline='').read())['input_ids']))",
    ].join("\n");
    const read = execFileSync(python, ["-c", code, folder, path.join(scratch, "poem.txt")], {
      env,
      encoding: "utf8",
    });
    expect(JSON.parse(read)).toEqual(ids);
    const theirs = loadSafetensors(out).get("logits");
    const ours = noGrad(() => model.forward({ inputIds: tensor([ids], { dtype: "int64" }) }));
    expect(fixture.distance(ours, theirs)).toBeLessThan(2e-2);
  }, 120_000);
});

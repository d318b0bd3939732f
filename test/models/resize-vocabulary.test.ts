// New tokens beside what parity.test.ts compares: how they are numbered, what reads the files, and export.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { resolveRecipe } from "../../lib/config/index.js";
import { addTokens } from "../../lib/data/tokenizer/added-tokens.js";
import { exportModel } from "../../lib/inference/export.js";
import { loadSafetensors, scope } from "../../lib/torch/index.js";
import { python } from "../train/python.js";
import { distance, fixture, folder, type Ran, references, run } from "../train/runs.js";

const KEYS = { ...references["new-tokens"].keys, max_steps: 3, max_samples: 8 };
let trained: Promise<Ran> | undefined;
const adapter = async (): Promise<string> => {
  trained ??= run(KEYS);
  return (await trained).dir;
};

describe("added tokens", () => {
  const json = () => ({
    model: { vocab: { a: 0, b: 1, c: 2 } },
    added_tokens: [{ id: 3, content: "<x>", special: true }],
  });

  it("are numbered after the vocabulary and those added before; a word of the vocabulary keeps its id", () => {
    const tokenizer = json();
    expect(addTokens(tokenizer, ["new", "b", "<x>", "new", ""], false)).toBe(2);
    expect(addTokens(tokenizer, ["<y>"], true)).toBe(1);
    expect(tokenizer.added_tokens.map(({ id, content, special }) => [id, content, special])).toEqual([
      [3, "<x>", true],
      [4, "new", false],
      [1, "b", false],
      [5, "<y>", true],
    ]);
  });

  it("are in the tokenizer that transformers loads from the output folder", async () => {
    const dir = await adapter();
    const text = "12, 15 and <two> 24";
    const theirs = python(
      `import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer(sys.argv[2])["input_ids"]
plain = AutoTokenizer.from_pretrained(sys.argv[3])
plain.add_tokens(["12", "15", "24", "36"])
plain.add_tokens(["<one>", "<two>", "<three>"], special_tokens=True)
print(json.dumps([len(tokenizer), ids, plain(sys.argv[2])["input_ids"], tokenizer.decode(ids, skip_special_tokens=True)]))`,
      dir,
      text,
      fixture("model"),
    ) as [number, number[], number[], string];
    expect(theirs[0]).toBe(387);
    expect(theirs[1]).toEqual(theirs[2]);
    expect(theirs[1]).toContain(385);
    expect(theirs[3]).not.toContain("<two>");
  });
});

describe("an adapter with new tokens", () => {
  it("is read by PEFT on a base model of as many rows", async () => {
    const dir = await adapter();
    const rows = python(
      `import json, sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
model.resize_token_embeddings(448)
model = PeftModel.from_pretrained(model, sys.argv[2])
print(json.dumps([list(model.get_input_embeddings().weight.shape), model.get_input_embeddings().weight[385].tolist()]))`,
      fixture("model"),
      dir,
    ) as [number[], number[]];
    expect(rows[0]).toEqual([448, 32]);
    scope(() => {
      const table = loadSafetensors(path.join(dir, "adapter_model.safetensors")).get(
        "base_model.model.model.embed_tokens.weight",
      );
      expect(table?.select(0, 385).tolist()).toEqual(rows[1]);
    });
  });

  it("is merged into a base model that grows with it, tokenizer included", async () => {
    const dir = await adapter();
    const out = path.join(folder(), "merged");
    const { recipe } = resolveRecipe(
      { model_name_or_path: fixture("model"), adapter_name_or_path: dir, export_dir: out, use_cpu: true },
      { for: "export" },
    );
    await exportModel(recipe);
    const config = JSON.parse(readFileSync(path.join(out, "config.json"), "utf8"));
    expect(config).toMatchObject({ vocab_size: 448, tie_word_embeddings: false });
    expect(readFileSync(path.join(out, "tokenizer.json"), "utf8")).toContain("<three>");
    scope(() => {
      const merged = loadSafetensors(path.join(out, "model.safetensors"));
      const saved = loadSafetensors(path.join(dir, "adapter_model.safetensors"));
      const row = saved.get("base_model.model.lm_head.weight")?.select(0, 386).tolist();
      expect(merged.get("lm_head.weight")?.select(0, 386).tolist()).toEqual(row);
    });
  });

  it("is trained on after an interruption as if there had been none", async () => {
    const keys = { ...KEYS, save_steps: 2 };
    const [whole, half] = [await run(keys), await run(keys)];
    const again = await run({ ...keys, resume_from_checkpoint: path.join(half.dir, "checkpoint-2") });
    const file = (dir: string) => path.join(dir, "adapter_model.safetensors");
    expect(distance(file(again.dir), file(whole.dir))).toBe(0);
  });
});

describe("descriptions", () => {
  it("come from a YAML mapping", async () => {
    const file = path.join(folder(), "tokens.yaml");
    writeFileSync(file, "- <a>\n");
    await expect(run({ new_special_tokens_config: file })).rejects.toThrow(
      `new_special_tokens_config: ${file}: a mapping is needed; write lines such as "<token>": "what it means"`,
    );
  });

  it("decide how rows begin: each way gives another result", async () => {
    const base = {
      new_special_tokens_config: "tokens.yaml",
      add_tokens: "12,15,24,36",
      max_steps: 1,
      max_samples: 4,
    };
    const files = [];
    for (const init_special_tokens of ["noise_init", "desc_init", "desc_init_w_noise"] as const)
      files.push(path.join((await run({ ...base, init_special_tokens })).dir, "adapter_model.safetensors"));
    expect(distance(files[0] as string, files[1] as string)).toBeGreaterThan(1e-3);
    expect(distance(files[1] as string, files[2] as string)).toBeGreaterThan(1e-3);
  });
});

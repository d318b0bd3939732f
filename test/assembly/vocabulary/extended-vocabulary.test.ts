// `extend_vocab` as a run leaves it: the tokenizer, the adapter and the model are loaded by transformers and PEFT, which
// must see the same ids and the same logits; rows begin as their pieces say, and a resumed run is the whole one.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../../lib/config/index.js";
import { loadTokenizer } from "../../../lib/data/index.js";
import { exportModel } from "../../../lib/inference/export.js";
import { openModel } from "../../../lib/inference/open-model.js";
import {
  initializeWeights,
  Qwen3ForCausalLM,
  readConfig,
  saveModel,
} from "../../../lib/models/families/qwen3/index.js";
import { loadSafetensors, manualSeed, noGrad, scope, tensor } from "../../../lib/torch/index.js";
import { python } from "../../train/python.js";
import { distance, fixture, folder, only, type Ran, run, weightsFile } from "../../train/runs.js";

const KEYS: RecipeInput = {
  extend_vocab: 100,
  extend_vocab_min_count: 2,
  max_steps: 3,
  max_samples: 40,
  plot_loss: false,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
};
/** Tokens of the fixture's tokenizer; its table has four rows more. */
const FIRST = 380;
const TEXT = "0, 2, 4, 6, 8, 10, 12 and 秦之用兵於燕、趙 🙂<|im_end|> 45, 60, 75";

/** The fixture's model with its own head. */
let untied: string | undefined;
function untiedModel(): string {
  if (untied !== undefined) return untied;
  untied = path.join(folder(), "untied");
  cpSync(fixture("model"), untied, { recursive: true });
  manualSeed(3);
  const model = new Qwen3ForCausalLM({ ...readConfig(fixture("model")), tie_word_embeddings: false });
  initializeWeights(model);
  saveModel(model, untied);
  return untied;
}

/** Ids of TEXT and the logits behind it, by transformers and PEFT, for pairs of a model and an adapter or "". */
const READ = `import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
def read(base, adapter):
    tokenizer = AutoTokenizer.from_pretrained(adapter or base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    ids = tokenizer(sys.argv[1], return_tensors="pt").input_ids
    if adapter:
        need = json.load(open(adapter + "/adapter_config.json"))["trainable_token_indices"]["embed_tokens"][-1] + 1
        model.resize_token_embeddings(need)
        model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        logits, merged = model(ids).logits, None
        if adapter:
            model = model.merge_and_unload().eval()
            merged = (model(ids).logits - logits).abs().max().item()
    return {"ids": ids[0].tolist(), "logits": logits[0].tolist(), "tokens": len(tokenizer), "merged": merged,
            "tied": model.config.tie_word_embeddings, "text": tokenizer.decode(ids[0])}
print(json.dumps([read(*pair) for pair in json.loads(sys.argv[2])]))`;
interface Read {
  ids: number[];
  logits: number[][];
  tokens: number;
  tied: boolean;
  /** How far the logits are when PEFT has merged the adapter. */
  merged: number | null;
  text: string;
}
const read = (pairs: [string, string][]) => python(READ, TEXT, JSON.stringify(pairs)) as Read[];

/** The same by this package. */
async function ours(model: string, adapters: string[] = []): Promise<{ ids: number[]; logits: number[][] }> {
  const opened = await openModel({ model, adapters });
  const ids = Array.from(await opened.tokenizer.encode(TEXT));
  return scope(() =>
    noGrad(() => {
      const inputIds = tensor(BigInt64Array.from(ids, BigInt)).unsqueeze(0);
      return { ids, logits: opened.model.forward({ inputIds }).squeeze(0).tolist() as number[][] };
    }),
  );
}

function apart(a: readonly number[][], b: readonly number[][]): number {
  let [difference, size] = [0, 0];
  for (const [i, row] of b.entries())
    for (const [j, value] of row.entries()) {
      difference += ((a[i]?.[j] as number) - value) ** 2;
      size += value ** 2;
    }
  return Math.sqrt(difference / size);
}

const runs = new Map<string, Promise<Ran>>();
function trained(model: "tied" | "untied", finetuning_type: "lora" | "full" | "freeze"): Promise<Ran> {
  const key = `${model} ${finetuning_type}`;
  let found = runs.get(key);
  if (found === undefined) {
    const model_name_or_path = model === "tied" ? "model" : untiedModel();
    found = run({ ...KEYS, model_name_or_path, finetuning_type });
    runs.set(key, found);
  }
  return found;
}

describe.each(["tied", "untied"] as const)("a %s model with an extended vocabulary", (kind) => {
  const base = () => (kind === "tied" ? fixture("model") : untiedModel());

  it("has transformers' and PEFT's ids and logits: as an adapter, merged, by full and by freeze", async () => {
    const { dir } = await trained(kind, "lora");
    const merged = path.join(folder(), "merged");
    const keys = { model_name_or_path: base(), adapter_name_or_path: dir, export_dir: merged, use_cpu: true };
    await exportModel(resolveRecipe(keys, { for: "export" }).recipe);
    const [full, freeze] = [(await trained(kind, "full")).dir, (await trained(kind, "freeze")).dir];
    const pairs: [string, string][] = [
      [base(), dir],
      [merged, ""],
      [full, ""],
      [freeze, ""],
    ];
    for (const [i, theirs] of read(pairs).entries()) {
      const [model, adapter] = pairs[i] as [string, string];
      const found = await ours(model, adapter === "" ? [] : [adapter]);
      expect(found.ids).toEqual(theirs.ids);
      expect(Math.max(...found.ids)).toBeGreaterThanOrEqual(FIRST);
      expect(theirs).toMatchObject({ tokens: FIRST + 100, text: TEXT, tied: kind === "tied" });
      expect(theirs.logits[0]).toHaveLength(512);
      expect(apart(found.logits, theirs.logits)).toBeLessThan(1e-5);
      if (adapter !== "") expect(theirs.merged).toBeLessThan(1e-4);
      if (i === 1) expect(apart(found.logits, (await ours(base(), [dir])).logits)).toBeLessThan(1e-5);
      const weights = path.join(model, "model.safetensors");
      const stored = scope(() => [...loadSafetensors(weights).keys()]);
      expect(stored.includes("lm_head.weight")).toBe(kind === "untied");
    }
    const config = JSON.parse(readFileSync(path.join(dir, "adapter_config.json"), "utf8"));
    expect(config.modules_to_save).toBeNull();
    expect(Object.keys(config.trainable_token_indices)).toEqual(
      kind === "tied" ? ["embed_tokens"] : ["embed_tokens", "lm_head"],
    );
  });

  it.each(["lora", "full"] as const)("goes on by %s as if there had been no interruption", async (method) => {
    const keys = { ...KEYS, model_name_or_path: base(), finetuning_type: method, save_steps: 2 };
    const whole = await trained(kind, method);
    const half = await run(keys);
    // what would be learned now is something else: a resumed run must not learn
    const again = await run({
      ...keys,
      extend_vocab_min_count: 9,
      resume_from_checkpoint: path.join(half.dir, "checkpoint-2"),
    });
    expect(distance(weightsFile(again.dir), weightsFile(whole.dir))).toBe(0);
    const tokenizer = (dir: string) => readFileSync(path.join(dir, "tokenizer.json"), "utf8");
    expect(tokenizer(again.dir)).toBe(tokenizer(whole.dir));
  });
});

describe("new rows", () => {
  const started = async (keys: RecipeInput): Promise<string> =>
    (await run({ ...KEYS, finetuning_type: "full", max_steps: 1, learning_rate: 1e-30, ...keys })).dir;

  it.each(["tied", "untied"] as const)("begin with the mean of their pieces' rows, %s", async (kind) => {
    const model = kind === "tied" ? fixture("model") : untiedModel();
    const dir = await started({ model_name_or_path: model });
    // the pieces by the old tokenizer, for entries of whole characters that are a piece of text by themselves
    const worst = python(
      `import json, sys, torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
old, new = sys.argv[1:3]
before, after = load_file(old + "/model.safetensors"), load_file(new + "/model.safetensors")
tokenizer, extended = Tokenizer.from_file(old + "/tokenizer.json"), Tokenizer.from_file(new + "/tokenizer.json")
worst = {}
for name in ["model.embed_tokens.weight", "lm_head.weight"]:
    if name not in before: continue
    table, rows = before[name], after[name]
    assert torch.equal(rows[:380], table[:380])
    known = 0
    worst[name] = 0.0
    for id in range(380, 480):
        text = extended.decode([id], skip_special_tokens=False)
        if "\\ufffd" in text: continue
        pieces = tokenizer.encode(text, add_special_tokens=False).ids
        assert extended.encode(text, add_special_tokens=False).ids == [id], text
        worst[name] = max(worst[name], (table[pieces].mean(0) - rows[id]).abs().max().item())
        known += 1
    assert known > 60, known
    worst[name] = max(worst[name], (rows[480:] - table[:380].mean(0)).abs().max().item())
print(json.dumps(worst))`,
      model,
      dir,
    ) as Record<string, number>;
    expect(Object.keys(worst)).toHaveLength(kind === "tied" ? 1 : 2);
    for (const value of Object.values(worst)) expect(value).toBeLessThan(1e-7);
  });

  it("begin around the mean of all rows with noise", async () => {
    const dir = await started({ extend_vocab_init: "noise" });
    const [mean, deviation] = scope(() => {
      const table = loadSafetensors(path.join(dir, "model.safetensors")).get("model.embed_tokens.weight");
      const before = loadSafetensors(path.join(fixture("model"), "model.safetensors")).get(
        "model.embed_tokens.weight",
      );
      const rows = table?.narrow(0, FIRST, 100).sub(before?.narrow(0, 0, FIRST).mean([0]) as never);
      return [rows?.mean().item(), rows?.square().mean().sqrt().item()] as [number, number];
    });
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(deviation).toBeGreaterThan(0.95 / Math.sqrt(32));
    expect(deviation).toBeLessThan(1.05 / Math.sqrt(32));
  });

  it("are all that LoRA trains of the embedding", async () => {
    const { dir, events } = await trained("tied", "lora");
    scope(() => {
      const stored = loadSafetensors(path.join(dir, "adapter_model.safetensors"));
      const keys = [...stored.keys()].filter((key) => key.includes("embed") || key.includes("lm_head"));
      expect(keys).toEqual(["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"]);
      expect(stored.get(keys[0] as string)?.shape).toEqual([132, 32]);
    });
    expect(only(events, "model")[0]?.trainable).toBe(132 * 32 + 4480);
  });
});

describe("what is printed", () => {
  it("is what the tokenizers count on the same texts", async () => {
    const { events, dir } = await trained("tied", "lora");
    const text = only(events, "message").find(({ text }) => text.startsWith("extend_vocab: 100"))?.text ?? "";
    const figures = [...text.matchAll(/([\d.]+) -> ([\d.]+) \(/g)].map(([, a, b]) => [Number(a), Number(b)]);
    const rows = readFileSync(path.join(fixture("data"), "one.jsonl"), "utf8")
      .trim()
      .split("\n")
      .slice(0, 40);
    const texts = rows.map((row) => (JSON.parse(row) as { text: string }).text);
    const held = texts.filter((_, i) => i % 10 === 9);
    const learned = texts.filter((_, i) => i % 10 !== 9);
    for (const [i, some] of [learned, held].entries())
      for (const [j, from] of [fixture("model"), dir].entries()) {
        const ids = await (await loadTokenizer(from)).encodeBatch(some);
        const tokens = ids.reduce((sum, one) => sum + one.length, 0);
        const characters = some.reduce((sum, one) => sum + [...one].length, 0);
        expect(figures[i]?.[j]).toBeCloseTo(tokens / characters, 3);
      }
    expect(figures[1]?.[1]).toBeLessThan(figures[1]?.[0] as number);
  });
});

describe("the embedding's learning rate", () => {
  it("is that of its group: the run is the other one with that group's updates at that rate", async () => {
    // one step of Adam moves every element by its rate, whatever the gradient (but for eps): the ratio shows the rate
    const keys: RecipeInput = { ...KEYS, max_steps: 1, finetuning_type: "full", learning_rate: 1e-3 };
    const [plain, own] = [await run(keys), await run({ ...keys, embedding_learning_rate: 4e-3 })];
    const still = await run({ ...keys, learning_rate: 1e-30 });
    scope(() => {
      const [a, b, zero] = [plain, own, still].map(({ dir }) => loadSafetensors(weightsFile(dir)));
      for (const [name, start] of zero ?? []) {
        const [one, other] = [a?.get(name)?.sub(start), b?.get(name)?.sub(start)];
        const moved = Number(one?.square().sum().sqrt().item());
        const ratio = Number(other?.square().sum().sqrt().item()) / moved;
        expect(ratio, name).toBeCloseTo(name.includes("embed_tokens") ? 4 : 1, 2);
      }
    });
  });
});

describe("a learned tokenizer's folder", () => {
  it("holds no older files of another vocabulary", async () => {
    const model = path.join(folder(), "model");
    cpSync(fixture("model"), model, { recursive: true });
    for (const name of ["vocab.json", "merges.txt"]) writeFileSync(path.join(model, name), "{}");
    const { dir } = await run({ ...KEYS, model_name_or_path: model, max_steps: 1 });
    expect(existsSync(path.join(dir, "vocab.json"))).toBe(false);
    expect(existsSync(path.join(dir, "merges.txt"))).toBe(false);
    expect(existsSync(path.join(dir, "tokenizer.json"))).toBe(true);
  });
});

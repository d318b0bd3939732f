// What is saved here loads in transformers and PEFT, with the same logits and the same greedy tokens.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { generateTokens } from "../../../../lib/inference/index.js";
import { loadModel, Qwen3ForCausalLM, readConfig, saveModel } from "../../../../lib/models/index.js";
import { loadWeights } from "../../../../lib/models/weights.js";
import {
  adapterState,
  addLora,
  type LoraConfig,
  mergeAdapter,
  saveAdapter,
  saveConverted,
} from "../../../../lib/peft/index.js";
import { loadSafetensors, manualSeed, noGrad, type Tensor, tensor } from "../../../../lib/torch/index.js";
import * as fixture from "../../../fixtures/model/read.js";

interface Case {
  what: string;
  base: string;
  lora: LoraConfig;
  /** Saved merged, in files of this many gigabytes; left out: saved as an adapter. */
  merged?: number;
  /** Saved as plain LoRA of twice the rank. */
  converted?: true;
  tied: boolean;
  /** Left out for a bfloat16 model, whose logits are held against float64 on both sides. */
  bound?: number;
}

const cases: Case[] = [
  {
    what: "an adapter of a float32 model",
    base: "tied",
    lora: { rank: 4, alpha: 16 },
    tied: true,
    bound: 1e-6,
  },
  {
    what: "an adapter of a bfloat16 model",
    base: "tied-bfloat16",
    lora: { rank: 4 },
    tied: true,
  },
  {
    what: "a rank-stabilised adapter with trained embedding and head",
    base: "untied",
    lora: {
      rank: 3,
      rankStabilized: true,
      targets: ["q_proj", "up_proj"],
      modulesToSave: ["embed_tokens", "lm_head"],
    },
    tied: false,
    bound: 1e-6,
  },
  { what: "a merged model in one file", base: "tied", lora: { rank: 4 }, merged: 5, tied: true, bound: 1e-6 },
  {
    what: "a merged bfloat16 model in shards",
    base: "tied-bfloat16",
    lora: { rank: 4 },
    merged: 20e-6,
    tied: true,
  },
  {
    what: "a merged model whose embedding was trained apart from its tie",
    base: "tied",
    lora: { rank: 4, modulesToSave: ["embed_tokens"] },
    merged: 5,
    tied: false,
    bound: 1e-6,
  },
  { what: "a DoRA adapter", base: "tied", lora: { rank: 4, dora: true }, tied: true, bound: 1e-6 },
  {
    what: "a DoRA adapter of a bfloat16 model",
    base: "tied-bfloat16",
    lora: { rank: 4, dora: true, rankStabilized: true },
    tied: true,
  },
  {
    what: "a merged DoRA model",
    base: "tied",
    lora: { rank: 4, dora: true },
    merged: 5,
    tied: true,
    bound: 1e-6,
  },
  {
    what: "a PiSSA adapter",
    base: "tied",
    lora: { rank: 4, init: "pissa", targets: ["q_proj", "up_proj"] },
    tied: true,
    bound: 1e-6,
  },
  {
    what: "a PiSSA adapter as plain LoRA",
    base: "untied",
    lora: { rank: 4, init: "pissa_niter_4", modulesToSave: ["norm"] },
    converted: true,
    tied: false,
    bound: 1e-5,
  },
];

const prompt = [5, 17, 92, 3, 44, 60, 8];
const root = mkdtempSync(join(tmpdir(), "qwen-pt-"));
const folder = (index: number): string => join(root, String(index));
const models: Qwen3ForCausalLM[] = [];
let loaded: { dtype: string; tied: boolean }[] = [];

const first = new Map<string, Map<string, Tensor>>();
const copies = (state: Map<string, Tensor>): Map<string, Tensor> =>
  new Map([...state].map(([key, value]) => [key, noGrad(() => value.detach().clone())]));

/** A base with an adapter that does something. */
function adapted(one: Case): Qwen3ForCausalLM {
  const { base, lora } = one;
  const model = fixture.model(base);
  manualSeed(1);
  addLora(model, lora);
  if (one.converted) first.set(one.what, copies(adapterState(model)));
  for (const p of model.parameters()) if (p.requiresGrad) noGrad(() => p.add_(p.clone().normal_(0, 0.1)));
  return model.eval();
}

/** The case's model in float64, with the values that were saved. */
function widened(one: Case, index: number): Qwen3ForCausalLM {
  if (one.merged !== undefined) {
    const model = new Qwen3ForCausalLM(readConfig(folder(index)));
    loadWeights(model, folder(index), { dtype: "float64" });
    return model.eval();
  }
  const model = fixture.model(one.base, "float64");
  addLora(model, one.lora);
  const values = new Map(models[index]!.namedParameters());
  for (const [name, p] of model.namedParameters())
    if (p.requiresGrad) noGrad(() => p.copy_(values.get(name)!));
  return model.eval();
}

// One Python for all cases: most of its time is imports.
beforeAll(async () => {
  const python = process.env.QWEN_PT_REFERENCE_PYTHON;
  if (python === undefined)
    throw new Error("QWEN_PT_REFERENCE_PYTHON is not set: run the tests with npm test");
  const jobs = cases.map((one, index) => {
    const model = adapted(one);
    models.push(model);
    const out = `${folder(index)}.safetensors`;
    if (one.merged === undefined) {
      const before = first.get(one.what);
      const base = fixture.path(one.base);
      if (before === undefined) saveAdapter(model, folder(index), { baseModel: base });
      else saveConverted(model, folder(index), { ...one.lora, init: true }, base, before);
      return { model: fixture.path(one.base), adapter: folder(index), prompt, out };
    }
    mergeAdapter(model);
    saveModel(model, folder(index), { maxShardGigabytes: one.merged });
    return { model: folder(index), adapter: null, prompt, out };
  });
  writeFileSync(join(root, "jobs.json"), JSON.stringify(jobs));
  const { stdout } = await promisify(execFile)(python, [fixture.path("load.py"), join(root, "jobs.json")], {
    env: { ...process.env, OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1" },
  });
  loaded = JSON.parse(stdout.trim().split("\n").pop()!);
}, 300_000);

afterAll(() => rmSync(root, { recursive: true, force: true }));

it.each(cases.map((one, index) => ({ ...one, index })))(
  "$what gives the same logits and greedy tokens in Python",
  (one) => {
    const model = models[one.index]!;
    const theirs = loadSafetensors(`${folder(one.index)}.safetensors`);
    const inputIds = tensor([prompt], { dtype: "int64" });
    const logits = noGrad(() => model.forward({ inputIds }));
    const difference = fixture.worst([["logits", logits, theirs.get("logits") as Tensor]]);
    fixture.report(`in Python: ${one.what}`.slice(0, 44), difference);
    if (one.bound === undefined) {
      // Two right ways to round a bfloat16 product differ in the last bits everywhere, and which way it is depends on
      // the processor: each side's distance from the exact result says whether ours is as good.
      const exact = noGrad(() => widened(one, one.index).forward({ inputIds }));
      const result = fixture.worst([["logits", logits, exact]]);
      const allowed = fixture.worst([["logits", theirs.get("logits")?.double(), exact]]);
      fixture.report("  from float64", result);
      fixture.report("  (transformers')", allowed);
      expect(result.distance).toBeLessThan(1.2 * allowed.distance);
    } else expect(difference.distance).toBeLessThan(one.bound);
    const tokens = [...generateTokens(model, prompt, { maxNewTokens: 24 })];
    expect(tokens).toEqual(Array.from(theirs.get("tokens")!.toArray(), Number));
    expect(loaded[one.index]).toEqual({
      tied: one.tied,
      dtype: `torch.${model.model.embed_tokens.weight.dtype}`,
    });
    if (one.merged === undefined) return;
    const again = loadModel<Qwen3ForCausalLM>(folder(one.index), readConfig(folder(one.index)));
    expect([...generateTokens(again, prompt, { maxNewTokens: 24 })]).toEqual(tokens);
  },
);

// Distillation from the base model: losses and every weight's gradient against transformers and PyTorch
// (distillation.py), heads of other kinds and small chunks against plain ones, then adapters and whole runs.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { collate } from "../../../lib/data/index.js";
import { Distillation, distillationLoss, type HeadRows } from "../../../lib/methods/index.js";
import { loadModel, type Qwen3ForCausalLM, saveModel } from "../../../lib/models/index.js";
import { addLora, full, LoraLinear, withoutAdapter } from "../../../lib/peft/index.js";
import { microStep } from "../../../lib/step/index.js";
import {
  type DType,
  linear,
  liveTensors,
  manualSeed,
  noGrad,
  saveSafetensors,
  type Tensor,
  tensor,
  zeros,
} from "../../../lib/torch/index.js";
import { distance } from "../../fixtures/model/read.js";
import { python } from "../../train/python.js";
import { fixture, folder, history, run } from "../../train/runs.js";

const PAD = 0;
const rows = [26, 19].map((length, n) =>
  Int32Array.from({ length }, (_, i) => 1 + ((i * (11 + n) + 5 * n) % 380)),
);
const batch = collate(rows, PAD);
const labelled = rows.reduce((sum, row) => sum + row.length - 1, 0);

const drawn = (shape: number[], scale: number, dtype: DType = "float32"): Tensor => {
  const values = zeros(shape, { dtype });
  values.normal_(0, scale);
  return values;
};

/** The tiny model, moved away from itself and trained whole. */
function moved(): Qwen3ForCausalLM {
  const model = loadModel<Qwen3ForCausalLM>(fixture("model"));
  full(model, "float32");
  manualSeed(3);
  for (const p of model.parameters()) noGrad(() => p.add_(drawn([...p.shape], 0.02)));
  return model;
}

const options = { device: "cpu", compute: undefined, scale: 1 / labelled } as const;

/** Loss, divergence and gradients of one micro-step. */
function step(
  student: Qwen3ForCausalLM,
  distillation: Distillation,
  checkpointing: boolean,
): { loss: number; divergence: number; gradients: Map<string, Tensor> } {
  for (const p of student.parameters()) p.grad = undefined;
  distillation.startWindow();
  const objective = distillation.objective.bind(distillation);
  const loss = microStep(student, batch, { ...options, checkpointing, objective });
  const gradients = new Map(
    [...student.namedParameters()].flatMap(([name, p]) => (p.grad === undefined ? [] : [[name, p.grad]])),
  );
  return { loss, divergence: distillation.figures()["distill_loss"], gradients };
}

const plain = <T>(body: () => T): T => body();

describe("against transformers", () => {
  it("share 0.3 at temperature 2, share 0.8 at temperature 1", { timeout: 120_000 }, () => {
    const student = moved();
    const teacher = loadModel<Qwen3ForCausalLM>(fixture("model"));
    const all = new Map<string, Tensor>();
    const runs = [
      { share: 0.3, temperature: 2 },
      { share: 0.8, temperature: 1 },
    ].map((settings) => {
      const method = new Distillation({
        student,
        teacher,
        asTeacher: plain,
        compute: undefined,
        ...settings,
      });
      const { loss, divergence, gradients } = step(student, method, true);
      for (const [name, gradient] of gradients) all.set(`${settings.share}/${name}`, gradient);
      return { ...settings, loss, divergence };
    });
    const dir = folder();
    saveModel(student, dir);
    const [gradients, values] = [path.join(dir, "gradients.safetensors"), path.join(dir, "values.json")];
    saveSafetensors(gradients, all);
    const [ids, labels] = [batch.inputIds, batch.labels].map((ids) => [
      [...ids.slice(0, 26)],
      [...ids.slice(26)],
    ]);
    writeFileSync(values, JSON.stringify({ ids, labels, runs }));
    const program = readFileSync(path.join(import.meta.dirname, "distillation.py"), "utf8");
    const errors = python(program, fixture("model"), dir, gradients, values) as Record<string, number>;
    expect(Object.keys(errors)).toHaveLength(52);
    for (const [name, error] of Object.entries(errors)) expect([name, error < 2e-5]).toEqual([name, true]);
    for (const { divergence } of runs) expect(divergence).toBeGreaterThan(0.01);
  });
});

describe("a head", () => {
  const targets = tensor([3, -100, 0, 7, 5], { dtype: "int64" });
  const settings = { share: 0.4, temperature: 1.5, scale: 0.2 };
  manualSeed(8);
  const values = {
    rows: drawn([5, 6], 1),
    weight: drawn([9, 6], 1),
    taught: drawn([5, 6], 1),
    own: drawn([9, 6], 1),
  };
  const of = (hidden: Tensor, weight: Tensor, isPlain: boolean): HeadRows => ({
    rows: hidden,
    weight: isPlain ? weight : undefined,
    logits: (some) => linear(some, weight),
  });
  const leaves = () =>
    noGrad(() => [values.rows.clone().requiresGrad_(), values.weight.clone().requiresGrad_()]);
  const teacher = (isPlain: boolean) => of(values.taught, values.own, isPlain);

  it("that is any function has the gradients of one that is a weight; chunks of a row those of all rows", () => {
    const [hidden, weight] = leaves() as [Tensor, Tensor];
    const whole = distillationLoss(of(hidden, weight, true), teacher(true), targets, settings);
    for (const chunkBytes of [1, 1000, 1 << 20]) {
      const [x, w] = leaves() as [Tensor, Tensor];
      const found = distillationLoss(of(x, w, false), teacher(false), targets, { ...settings, chunkBytes });
      const pieces = distillationLoss(of(x, w, true), teacher(true), targets, { ...settings, chunkBytes });
      for (const one of [found, pieces]) {
        expect(distance(one.crossEntropy, whole.crossEntropy)).toBeLessThan(1e-6);
        expect(distance(one.divergence, whole.divergence)).toBeLessThan(1e-6);
        expect(distance(one.rowsGradient, whole.rowsGradient)).toBeLessThan(1e-6);
      }
      expect(distance(w.grad, whole.weightGradient)).toBeLessThan(1e-6);
      expect(distance(pieces.weightGradient, whole.weightGradient)).toBeLessThan(1e-6);
    }
  });

  it("asks for no gradient that nobody wants, and leaves no tensor behind", () => {
    const before = liveTensors();
    const found = distillationLoss(of(values.rows, values.weight, true), teacher(true), targets, settings);
    expect([found.rowsGradient, found.weightGradient]).toEqual([undefined, undefined]);
    found.crossEntropy.dispose();
    found.divergence.dispose();
    expect(liveTensors()).toBe(before);
  });

  it("that agrees with its teacher has no divergence, and a share of the plain gradient", () => {
    const [hidden, weight] = leaves() as [Tensor, Tensor];
    const own = of(hidden, weight, true);
    const mixed = distillationLoss(own, own, targets, settings);
    const hard = distillationLoss(own, teacher(true), targets, { ...settings, share: 0 });
    expect(Math.abs(mixed.divergence.item())).toBeLessThan(1e-6);
    expect(distance(mixed.rowsGradient, hard.rowsGradient?.mul(0.6))).toBeLessThan(1e-5);
  });
});

/** Adapters, the head among them, that do something. */
function adapted(targets: string[]): Qwen3ForCausalLM {
  const model = loadModel<Qwen3ForCausalLM>(fixture("model"));
  manualSeed(5);
  addLora(model, { rank: 3, alpha: 12, targets, dropout: 0.5 });
  for (const [, module] of model.namedModules())
    if (module instanceof LoraLinear) noGrad(() => module.lora_B.weight.normal_(0, 0.05));
  return model;
}

describe("an adapter's teacher is the model without it", () => {
  it.each([[["q_proj", "up_proj"]], [["q_proj", "lm_head"]]])("adapters on %o", (targets) => {
    const student = adapted(targets);
    const settings = { student, share: 0.5, temperature: 2, compute: undefined } as const;
    const asTeacher = <T>(body: () => T): T => withoutAdapter(student, body);
    const seeded = (method: Distillation, checkpointing: boolean) => {
      manualSeed(6); // dropout
      return step(student, method, checkpointing);
    };
    const own = seeded(new Distillation({ ...settings, teacher: student, asTeacher }), true);
    const gradients = new Map([...own.gradients].map(([name, g]) => [name, g.clone()]));
    expect(own.divergence).toBeGreaterThan(0.001);
    expect([...gradients.keys()].every((name) => name.includes("lora_"))).toBe(true);
    const copy = loadModel<Qwen3ForCausalLM>(fixture("model"));
    for (const checkpointing of [true, false]) {
      const other = seeded(new Distillation({ ...settings, teacher: copy, asTeacher: plain }), checkpointing);
      expect([other.loss, other.divergence]).toEqual([own.loss, own.divergence]);
      expect(other.gradients.size).toBe(gradients.size);
      for (const [name, g] of other.gradients) expect(distance(g, gradients.get(name))).toBeLessThan(1e-5);
    }
    expect(student.training).toBe(true);
  });
});

const KEYS = {
  max_samples: 8,
  max_steps: 6,
  logging_steps: 2,
  learning_rate: 0.01,
  warmup_ratio: 0,
} as const;

describe("in a run", () => {
  it.each([
    { finetuning_type: "full" },
    { finetuning_type: "lora", neat_packing: true, disable_gradient_checkpointing: true },
    { finetuning_type: "lora", pissa_init: true },
    { finetuning_type: "full", bf16: true, model_name_or_path: "model-bfloat16" },
  ] as const)("%o: less drift from the base model, logged as distill_loss", async (keys) => {
    const drift = async (weight: number): Promise<number> => {
      const { dir } = await run({ ...KEYS, ...keys, distill_weight: weight });
      const log = history(dir).filter((entry) => "distill_loss" in entry);
      expect(log).toHaveLength(3);
      expect(log[0].loss).toBeGreaterThan(1);
      return log[2]["distill_loss"];
    };
    const [little, much] = [await drift(0.001), await drift(0.9)];
    expect(little).toBeGreaterThan(0.05);
    expect(much).toBeLessThan(little / 2);
  });

  it("the first step's loss is that of a run without it", async () => {
    const once = { ...KEYS, max_steps: 1, logging_steps: 1 };
    const [plainly, distilled] = [await run(once), await run({ ...once, distill_weight: 0.5 })];
    expect(history(distilled.dir)[0].loss).toBeCloseTo(history(plainly.dir)[0].loss, 5);
    expect(history(distilled.dir)[0]["distill_loss"]).toBeCloseTo(0, 6);
  });
});

// Elastic weight consolidation against PyTorch's autograd (elastic_weights.py): Fisher information of every weight, the
// penalty and its gradients, whole weights and adapters. Then its file, and what it does in runs.
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Batch, collate } from "../../../lib/data/index.js";
import { UserError } from "../../../lib/errors.js";
import {
  ElasticWeights,
  elasticNames,
  elasticTerms,
  estimateFisher,
  type Fisher,
  type FisherRanks,
  fingerprint,
  loadFisher,
  saveFisher,
} from "../../../lib/methods/index.js";
import { loadModel, type Qwen3ForCausalLM } from "../../../lib/models/index.js";
import { addLora, baseWeights, full, LoraLinear, withoutAdapter } from "../../../lib/peft/index.js";
import { headLoss, nextTokenLabels } from "../../../lib/step/loss.js";
import { manualSeed, noGrad, ops, saveSafetensors, type Tensor, zeros } from "../../../lib/torch/index.js";
import { python } from "../../train/python.js";
import { filesOf, fixture, folder, history, only, run, weightsFile } from "../../train/runs.js";

const LAMBDA = 3;
const PAD = 0;
const blocks = [24, 17, 24].map((length, n) =>
  Int32Array.from({ length }, (_, i) => 1 + ((i * (7 + n) + 3 * n) % 380)),
);
blocks[1].fill(PAD, 12); // no label, no loss
const batches: Batch[] = blocks.map((block) => collate([block], PAD));

async function loadOrEstimateFisher(
  model: Qwen3ForCausalLM,
  names?: readonly string[],
  ranks?: FisherRanks,
): Promise<Fisher> {
  const base = baseWeights(model);
  const weights = new Map((names ?? [...base.keys()]).map((name) => [name, base.get(name)!]));
  return estimateFisher(model, weights, batches, {
    compute: undefined,
    ...(ranks && { ranks }),
    asBase: (body) => withoutAdapter(model, body),
    lossOf: (hidden, { labels, batch, length }) =>
      headLoss(model, hidden, nextTokenLabels({ labels, batch, length }, "cpu"), 1, undefined),
  });
}

const random = (shape: readonly number[], scale: number): Tensor => {
  const drawn = zeros([...shape]);
  drawn.normal_(0, scale);
  return drawn;
};

/** A model with adapters that do something. */
function adapted(): Qwen3ForCausalLM {
  const model = loadModel<Qwen3ForCausalLM>(fixture("model"));
  manualSeed(5);
  addLora(model, { rank: 3, alpha: 12 });
  for (const [, module] of model.namedModules())
    if (module instanceof LoraLinear) noGrad(() => module.lora_B.weight.normal_(0, 0.05));
  return model;
}

it("tables that are trained beside an adapter are held in parts as they are whole, where their memory has gone", () => {
  const made = () => {
    const model = loadModel<Qwen3ForCausalLM>(fixture("model"));
    addLora(model, { rank: 2, modulesToSave: ["embed_tokens"] });
    const base = baseWeights(model);
    const [copy] = [...model.namedParameters()].find(([name]) => name.includes("modules_to_save"))!.slice(1);
    noGrad(() => (copy as Tensor).add_(0.25));
    const fisher = new Map([...base].map(([name, weight]) => [name, noGrad(() => weight.square())]));
    const springs = new ElasticWeights(elasticTerms(model, base, fisher), LAMBDA);
    return { model, copy: copy as Tensor, springs };
  };
  const whole = made();
  whole.springs.addGradients();
  const gradient = whole.copy.grad!.flatten();
  const half = Math.floor(whole.copy.numel() / 2) + 3;
  const pulls = [
    [0, half],
    [half, whole.copy.numel() - half],
  ].map(([from, length], rank) => {
    const { model, copy, springs } = made();
    const part = noGrad(() => copy.detach().flatten().narrow(0, from!, length!).clone()).requiresGrad_();
    springs.divide({
      ...{ rank, size: 2, gathered: () => {}, sum: () => {} },
      partOf: (parameter) => (parameter === copy ? { part, from: from! } : undefined),
    });
    for (const weight of model.parameters()) noGrad(() => weight.fill_(Number.NaN));
    springs.addGradients();
    return part.grad!.tolist() as number[];
  });
  expect(pulls.flat()).toEqual(gradient.tolist());
});

it("Fisher information is what processes find of their batches, added up", async () => {
  const one = await loadOrEstimateFisher(loadModel<Qwen3ForCausalLM>(fixture("model")));
  const size = 2;
  const waiting: { numbers?: readonly number[]; tensor?: Tensor; go(sum: number[]): void }[] = [];
  const meet = <T>(own: Omit<(typeof waiting)[number], "go">): Promise<T> =>
    new Promise((resolve) => {
      waiting.push({ ...own, go: resolve as never });
      if (waiting.length < size) return;
      const all = waiting.splice(0);
      const sums = (all[0]!.numbers ?? []).map((_, at) =>
        all.reduce((sum, { numbers }) => sum + numbers![at]!, 0),
      );
      const total = all[0]!.tensor && noGrad(() => all[0]!.tensor!.add(all[1]!.tensor!));
      for (const { tensor, go } of all) {
        if (tensor !== undefined) noGrad(() => tensor.copy_(total!));
        go(sums);
      }
    });
  const found = await Promise.all(
    Array.from({ length: size }, (_, rank) =>
      loadOrEstimateFisher(loadModel<Qwen3ForCausalLM>(fixture("model")), undefined, {
        rank,
        size,
        sum: (numbers) => meet({ numbers }),
        add: (tensor) => meet({ tensor }),
      }),
    ),
  );
  for (const { values, blocks: read, tokens } of found) {
    expect([read, tokens]).toEqual([one.blocks, one.tokens]);
    for (const [name, value] of one.values) {
      const off = values.get(name)!.sub(value).norm().item() / value.norm().item();
      expect(off, name).toBeLessThan(1e-6);
    }
  }
});

describe("against PyTorch", () => {
  let errors: Record<string, number>;
  let fisher: Fisher;

  beforeAll(async () => {
    const base = loadModel<Qwen3ForCausalLM>(fixture("model"));
    fisher = await loadOrEstimateFisher(base);
    const tensors = new Map<string, Tensor>();
    for (const [name, values] of fisher.values) tensors.set(`fisher/${name}`, values);
    const model = loadModel<Qwen3ForCausalLM>(fixture("model"));
    full(model, "float32");
    manualSeed(1);
    for (const [name, parameter] of model.namedParameters()) {
      noGrad(() => parameter.add_(random(parameter.shape, 0.02)));
      tensors.set(
        `moved/${name}`,
        noGrad(() => parameter.detach().clone()),
      );
    }
    const whole = new ElasticWeights(elasticTerms(model, baseWeights(base), fisher.values), LAMBDA);
    whole.addGradients();
    for (const [name, parameter] of model.namedParameters()) tensors.set(`gradient/${name}`, parameter.grad!);
    const lora = adapted();
    const adapter = new ElasticWeights(elasticTerms(lora, baseWeights(lora), fisher.values), LAMBDA);
    adapter.addGradients();
    for (const [name, module] of lora.namedModules())
      if (module instanceof LoraLinear) {
        const { lora_A: a, lora_B: b } = module;
        for (const [key, value] of Object.entries({
          a: a.weight,
          b: b.weight,
          da: a.weight.grad!,
          db: b.weight.grad!,
        }))
          tensors.set(`${key}/${name}.weight`, value.detach());
      }
    const dir = folder();
    saveSafetensors(path.join(dir, "values.safetensors"), tensors);
    const values = {
      ids: batches.map(({ inputIds }) => [...inputIds]),
      labels: batches.map(({ labels }) => [...labels]),
      tokens: fisher.tokens,
      lambda: LAMBDA,
      penalty: whole.figures()["ewc_loss"],
      adapter: adapter.figures()["ewc_loss"],
      scaling: 4,
    };
    writeFileSync(path.join(dir, "values.json"), JSON.stringify(values));
    const program = readFileSync(path.join(import.meta.dirname, "elastic_weights.py"), "utf8");
    errors = python(
      program,
      fixture("model"),
      path.join(dir, "values.safetensors"),
      path.join(dir, "values.json"),
    ) as Record<string, number>;
  }, 120_000);

  it.each([
    ["fisher ", 24],
    ["gradient model", 24],
    ["gradient of A", 14],
    ["gradient of B", 14],
    ["penalty", 1],
    ["adapter's penalty", 1],
    ["tokens", 1],
  ])("%s (%i)", (prefix, count) => {
    const found = Object.entries(errors).filter(([name]) => name.startsWith(prefix));
    expect(found).toHaveLength(count);
    for (const [name, error] of found) expect([name, error < 2e-5]).toEqual([name, true]);
  });

  it("an adapter is skipped while the information is estimated, and works again afterwards", async () => {
    const model = adapted();
    const names = elasticNames(model, baseWeights(model));
    expect(names).toHaveLength(14);
    const found = await loadOrEstimateFisher(model, names);
    for (const name of names)
      expect(found.values.get(name)!.toArray()).toEqual(fisher.values.get(name)!.toArray());
    for (const [name, p] of model.namedParameters())
      expect([name, p.requiresGrad]).toEqual([name, /lora_/.test(name)]);
    const input = ops.zeros([1, 3], { dtype: "int64" });
    const [on, off] = noGrad(() => [
      model.forward({ inputIds: input }).sum().item(),
      withoutAdapter(model, () => model.forward({ inputIds: input }).sum().item()),
    ]);
    expect(off).toBe(
      noGrad(() => loadModel<Qwen3ForCausalLM>(fixture("model")).forward({ inputIds: input }).sum().item()),
    );
    expect(on).not.toBe(off);
  });
});

describe("the file of Fisher information", () => {
  const settings = { model: "m", datasets: "one", samples: 3, blocks: "packed, 24 tokens" };
  const file = (): string => path.join(folder(), "fisher.safetensors");
  const values = () => new Map([["w", random([2, 3], 1).square()]]);

  it("comes back as it was", () => {
    const [where, kept] = [file(), values()];
    saveFisher(where, { values: kept, blocks: 3, tokens: 60 }, settings);
    expect(loadFisher(where, settings, ["w"]).get("w")!.toArray()).toEqual(kept.get("w")!.toArray());
    expect(loadFisher(where, { model: "m" }, []).size).toBe(0);
  });

  it.each([
    [{ model: "other" }, [], "is of another model"],
    [{ datasets: "two" }, [], "was estimated with ewc_dataset one, and the recipe says two"],
    [{ samples: 4 }, [], "was estimated with ewc_samples 3, and the recipe says 4"],
    [{}, ["v"], "lacks v, which is trained now"],
  ])("%o with %o is refused", (other, names, why) => {
    const where = file();
    saveFisher(where, { values: values(), blocks: 3, tokens: 60 }, settings);
    const remedy = "; name another file, or remove this one to estimate it again";
    expect(() => loadFisher(where, { ...settings, ...other }, names)).toThrow(
      new UserError(`ewc_fisher: ${where} ${why}${remedy}`),
    );
  });

  it("any other safetensors file is refused", () => {
    expect(() => loadFisher(fixture("model", "model.safetensors"), { model: "m" }, [])).toThrow(
      /ewc_fisher: .*model\.safetensors holds no Fisher information/,
    );
  });

  it("models are told apart by their weights, and an adapter does not hide them", () => {
    const plain = fingerprint(baseWeights(loadModel<Qwen3ForCausalLM>(fixture("model"))));
    expect(fingerprint(baseWeights(adapted()))).toBe(plain);
    expect(fingerprint(baseWeights(loadModel<Qwen3ForCausalLM>(fixture("model-bfloat16"))))).not.toBe(plain);
    const moved = loadModel<Qwen3ForCausalLM>(fixture("model"));
    noGrad(() => moved.model.norm.parameters()[0].add_(1e-4));
    expect(fingerprint(baseWeights(moved))).not.toBe(plain);
  });
});

const KEYS = {
  max_samples: 8,
  max_steps: 6,
  logging_steps: 2,
  learning_rate: 0.01,
  warmup_ratio: 0,
} as const;
const EWC = { ...KEYS, ewc_lambda: 100, ewc_dataset: "two", ewc_samples: 4 } as const;
const said = (events: Parameters<typeof only>[0]) => only(events, "message").map(({ text }) => text);

describe("in a run", () => {
  it("logs ewc_loss beside the loss, and holds the weights back", async () => {
    const full = { finetuning_type: "full" } as const;
    const [free, held] = [await run({ ...KEYS, ...full }), await run({ ...EWC, ...full })];
    const losses = history(held.dir).flatMap(({ ewc_loss }) => ewc_loss ?? []);
    expect(losses).toHaveLength(3);
    for (const loss of losses) expect(loss).toBeGreaterThan(0);
    expect(history(free.dir)[0].loss).toBeGreaterThan(0);
    expect(history(free.dir).some((entry) => "ewc_loss" in entry)).toBe(false);
    const base = loadModel<Qwen3ForCausalLM>(fixture("model"));
    const fisher = (await loadOrEstimateFisher(base)).values;
    const drift = ({ dir }: { dir: string }): number => {
      const weighed = new ElasticWeights(elasticTerms(trained(dir), baseWeights(base), fisher), 2);
      weighed.addGradients();
      return weighed.figures()["ewc_loss"];
    };
    expect(drift(held)).toBeLessThan(drift(free) / 3);
  });

  it("writes its file once, takes it again, and refuses it for another model", async () => {
    const file = path.join(folder(), "cache", "fisher.safetensors");
    const first = await run({ ...EWC, ewc_fisher: file });
    expect(said(first.events)).toContain(`estimating Fisher information on 4 blocks of two, kept in ${file}`);
    const written = statSync(file).mtimeMs;
    const again = await run({ ...KEYS, ewc_lambda: 100, ewc_fisher: file });
    expect(said(again.events).join()).not.toContain("estimating");
    expect(statSync(file).mtimeMs).toBe(written);
    expect(readFileSync(weightsFile(again.dir)).equals(readFileSync(weightsFile(first.dir)))).toBe(true);
    await expect(run({ ...EWC, ewc_fisher: file, model_name_or_path: "model-bfloat16" })).rejects.toThrow(
      /ewc_fisher: .* is of another model/,
    );
    rmSync(file);
    await expect(run({ ...KEYS, ewc_lambda: 1, ewc_fisher: file })).rejects.toThrow(
      /ewc_fisher: there is no file .*; name one that is there, or set ewc_dataset/,
    );
  });

  it("keeps the file in output_dir by itself, and estimates again where the keys have changed", async () => {
    const { dir } = await run({ ...EWC, max_steps: 1 });
    expect(filesOf(dir)).toContain("fisher.safetensors");
    expect(existsSync(path.join(dir, "fisher.safetensors"))).toBe(true);
    const other = await run({ ...EWC, max_steps: 1, ewc_samples: 2, output_dir: dir });
    expect(said(other.events).join()).toContain("on 2 blocks of two");
  });
});

function trained(dir: string): Qwen3ForCausalLM {
  const model = loadModel<Qwen3ForCausalLM>(dir);
  full(model, "float32");
  return model;
}

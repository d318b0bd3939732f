// Logits, every gradient and three AdamW updates against transformers 5.6, to the bounds that the design states.
import { describe, expect, it } from "vitest";
import {
  KVCache,
  parseConfig,
  Qwen3ForCausalLM,
  readConfig,
} from "../../../../lib/models/families/qwen3/index.js";
import { loadWeights } from "../../../../lib/models/weights.js";
import { AdamW, decayGroups } from "../../../../lib/optim/index.js";
import { full } from "../../../../lib/peft/index.js";
import type { DType, Tensor } from "../../../../lib/torch/index.js";
import { arange, noGrad, scope, tensor } from "../../../../lib/torch/index.js";
import * as fixture from "../../../fixtures/model/read.js";

const BOUNDS = { float32: { once: 1e-5, updates: 5e-5 }, float64: { once: 1e-9, updates: 1e-9 } } as const;
const ADAM = { learningRate: 1e-2, eps: 1e-8 };

/**
 * 1 where an update says something about the program, 0 where it is rounding alone: AdamW divides each gradient by the
 * size of itself plus eps, so one that is near eps, thousands of times smaller than its neighbours, turns their rounding
 * into an update of any size up to the learning rate. A gradient of exactly 0 is no rounding.
 */
function firm(gradient: Tensor): Tensor {
  const size = gradient.abs();
  return size
    .ge(100 * ADAM.eps)
    .logicalOr(size.eq(0))
    .double();
}

describe.each(["tied", "untied"])("a Qwen3 with %s head", (name) => {
  describe.each(["float32", "float64"] as const)("in %s", (dtype) => {
    const expected = fixture.tensors(`${name}-${dtype}`);
    const ids = expected.get("ids") as NonNullable<ReturnType<typeof expected.get>>;

    it("computes transformers' logits, loss and gradients", () => {
      const model = fixture.model(name, dtype);
      full(model, undefined);
      model.train();
      const { loss, logits } = fixture.lossOf(model, ids);
      loss.backward();
      const once = fixture.worst([
        ["logits", logits, expected.get("logits")],
        ["loss", loss, expected.get("loss")],
      ]);
      const gradients = fixture.worst(
        [...model.namedParameters()].map(([key, p]) => [key, p.grad, expected.get(`grad.${key}`)]),
      );
      fixture.report(`${name} ${dtype} logits, loss`, once);
      fixture.report(`${name} ${dtype} gradients`, gradients);
      expect(gradients.count).toBe([...expected.keys()].filter((key) => key.startsWith("grad.")).length);
      expect(once.distance).toBeLessThan(BOUNDS[dtype].once);
      expect(gradients.distance).toBeLessThan(BOUNDS[dtype].once);
    });

    it("moves by transformers' three AdamW steps", () => {
      const model = fixture.model(name, dtype);
      full(model, undefined);
      model.train();
      const optimizer = new AdamW(decayGroups(model.namedParameters(), 0.1), ADAM);
      for (let step = 0; step < 3; step++) {
        optimizer.zeroGrad();
        scope(() => fixture.lossOf(model, ids).loss.backward());
        optimizer.step();
      }
      const exact = fixture.tensors(`${name}-float64`);
      const rows = [...model.namedParameters()].map(([key, p]) => {
        const theirs = exact.get(`updated.${key}`) as Tensor;
        return { key, ours: p.detach().double(), theirs, firm: firm(exact.get(`grad.${key}`) as Tensor) };
      });
      const updated = fixture.worst(
        rows.map((row) => [row.key, row.ours.mul(row.firm), row.theirs.mul(row.firm)]),
      );
      fixture.report(`${name} ${dtype} three AdamW updates`, updated);
      expect(updated.distance).toBeLessThan(BOUNDS[dtype].updates);
      for (const row of rows) {
        const loose = row.firm.sub(1).abs();
        expect(Number(loose.sum().item()), row.key).toBeLessThanOrEqual(0.005 * loose.numel());
        // of the rest, the first step may have the wrong sign at worst
        const most = Number(row.ours.sub(row.theirs).mul(loose).abs().max().item());
        expect(most, row.key).toBeLessThan(2 * ADAM.learningRate);
      }
    });
  });
});

describe("half precision checkpoints", () => {
  it.each(["bfloat16", "float16"] as const)("compute transformers' logits in %s", (dtype) => {
    const model = fixture.model(`tied-${dtype}`);
    expect(model.embed(tensor([[1]], { dtype: "int64" })).dtype).toBe(dtype);
    const ids = fixture.tensors("tied-float32").get("ids")!;
    const logits = noGrad(() => model.forward({ inputIds: ids }));
    const theirs = fixture.tensors("halves").get(`tied-${dtype}`)?.double();
    // Two right ways to round differ in the last bits everywhere, so both are held against the exact result.
    const wide = fixture.model(`tied-${dtype}`, "float64");
    const exact = noGrad(() => wide.forward({ inputIds: ids }));
    const result = fixture.worst([["logits", logits, exact]]);
    const allowed = fixture.worst([["logits", theirs, exact]]);
    fixture.report(`tied ${dtype} logits`, result);
    fixture.report(`  (transformers')`, allowed);
    expect(result.distance).toBeLessThan(1.2 * allowed.distance);
  });
});

describe("rotary types inside the model", () => {
  const expected = fixture.tensors("rope");
  const configs =
    fixture.json<Record<string, { max_position_embeddings: number; rope_parameters: object }>>("rope");
  const names = [...new Set(Object.keys(configs).map((key) => key.replace(/\.\d+$/, "")))];
  const ids = fixture.tensors("tied-float32").get("ids")!.narrow(0, 0, 1);

  it.each(
    names.flatMap((name) =>
      (["float32", "float64"] as const).map((dtype) => [name, dtype] as [string, DType]),
    ),
  )("%s gives transformers' logits in %s", (name, dtype) => {
    const { max_position_embeddings, rope_parameters } = configs[`${name}.16`]!;
    const raw = { ...readConfig(fixture.path("tied")).raw, max_position_embeddings, rope_parameters };
    const model = new Qwen3ForCausalLM(parseConfig(raw));
    loadWeights(model, fixture.path("tied"), { dtype });
    const logits = noGrad(() => model.forward({ inputIds: ids }));
    const result = fixture.worst([["logits", logits, expected.get(`${name}.logits.${dtype}`)]]);
    fixture.report(`rope ${name} ${dtype} logits`, result);
    expect(result.distance).toBeLessThan(dtype === "float32" ? 1e-5 : 1e-9);
  });
});

describe("attention", () => {
  const ids = fixture.tensors("tied-float32").get("ids")!;

  it("gives the same logits through the cache, whatever the pieces", () => {
    const model = fixture.model("tied", "float64").eval();
    const whole = noGrad(() => model.forward({ inputIds: ids }));
    const cache = new KVCache();
    const pieces = [0, 7, 8, 15, 24];
    for (let i = 1; i < pieces.length; i++) {
      const [from, to] = [pieces[i - 1]!, pieces[i]!];
      const logits = noGrad(() => model.forward({ inputIds: ids.narrow(1, from, to - from), cache }));
      expect(fixture.distance(logits, whole.narrow(1, from, to - from))).toBeLessThan(1e-12);
    }
    expect(cache.length).toBe(24);
    cache.dispose();
  });

  it("needs no mask for padding on the right: real positions do not see it", () => {
    const model = fixture.model("tied", "float64").eval();
    const short = noGrad(() => model.forward({ inputIds: ids.narrow(1, 0, 10) }));
    const padded = ids.clone();
    padded.narrow(1, 10, 14).fill_(3);
    const long = noGrad(() => model.forward({ inputIds: padded }));
    expect(fixture.distance(long.narrow(1, 0, 10), short)).toBeLessThan(1e-12);
  });

  it("takes positions from the caller", () => {
    const model = fixture.model("tied", "float64").eval();
    const counted = noGrad(() => model.forward({ inputIds: ids }));
    const positionIds = arange(0, 24, 1, { dtype: "int64" }).unsqueeze(0).expand([2, 24]);
    expect(
      fixture.distance(
        noGrad(() => model.forward({ inputIds: ids, positionIds })),
        counted,
      ),
    ).toBeLessThan(1e-14);
    const shifted = noGrad(() => model.forward({ inputIds: ids, positionIds: positionIds.mul(2) }));
    expect(fixture.distance(shifted, counted)).toBeGreaterThan(1e-3);
  });
});

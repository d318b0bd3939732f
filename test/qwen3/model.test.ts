// Logits, every gradient and three AdamW updates against transformers 5.6, to the bounds that the design states.
import { describe, expect, it } from "vitest";
import { AdamW, decayGroups } from "../../lib/optim/index.js";
import { full } from "../../lib/peft/index.js";
import { KVCache, parseConfig, Qwen3ForCausalLM, readConfig } from "../../lib/qwen3/index.js";
import { loadWeights } from "../../lib/qwen3/weights.js";
import type { DType } from "../../lib/torch/index.js";
import { arange, noGrad, scope, tensor } from "../../lib/torch/index.js";
import * as fixture from "../fixtures/model/read.js";

const BOUNDS = { float32: { once: 1e-5, updates: 1e-4 }, float64: { once: 1e-9, updates: 1e-9 } } as const;

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
      const optimizer = new AdamW(decayGroups(model.namedParameters(), 0.1), { learningRate: 1e-2 });
      for (let step = 0; step < 3; step++) {
        optimizer.zeroGrad();
        scope(() => fixture.lossOf(model, ids).loss.backward());
        optimizer.step();
      }
      // AdamW divides each gradient by its own size, so one near eps turns the rounding of transformers' float32
      // into an update of any size: its own lies up to 2.2e-4 from its float64, which is what ours is held against.
      const exact = fixture.tensors(`${name}-float64`);
      const updated = fixture.worst(
        [...model.namedParameters()].map(([key, p]) => [key, p, exact.get(`updated.${key}`)]),
      );
      fixture.report(`${name} ${dtype} three AdamW updates`, updated);
      expect(updated.distance).toBeLessThan(BOUNDS[dtype].updates);
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

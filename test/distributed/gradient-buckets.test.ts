// Gradients that go while the backward pass is on its way: which bucket goes when, as a world that records it sees it; and
// two real ranks, of which one has no gradient for some parameters.
import { describe, expect, it } from "vitest";
import type { World } from "../../lib/distributed/index.js";
import { initializeWeights, parseConfig, Qwen3ForCausalLM } from "../../lib/models/families/qwen3/index.js";
import { microStepLoss } from "../../lib/step/index.js";
import { manualSeed, type Tensor } from "../../lib/torch/index.js";
import { dataParallel } from "../../lib/train/strategy/data-parallel.js";
import { dist, runRanks } from "./ranks.js";

const config = parseConfig({
  ...{ model_type: "qwen3", vocab_size: 40, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 4 },
  ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, max_position_embeddings: 64 },
  ...{ rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: false, torch_dtype: "float32" },
});
const inputIds = Int32Array.from({ length: 12 }, (_, at) => (at * 7) % 40);
const batch = { inputIds, labels: inputIds, attentionMask: undefined, batch: 1, length: 12 };

/** A world of two whose sums are what was given: the other rank has zeros. */
function recording(sent: string[]): World {
  return {
    rank: 0,
    size: 2,
    attempt: 0,
    sumMeanwhile: async (value: Tensor) => void sent.push(`${value.numel()}`),
    async sum(values: readonly number[]) {
      sent.push("counts");
      return [...values];
    },
  } as unknown as World;
}

describe.each([false, true, "selective"] as const)("with checkpointing %s", (checkpointing) => {
  it("a block's gradients go before those of the block below it are computed", async () => {
    manualSeed(1);
    const model = new Qwen3ForCausalLM(config);
    initializeWeights(model);
    const step = (whenComplete?: (part: number | "embedding" | "head") => void) =>
      microStepLoss(model, batch, {
        device: "cpu",
        compute: undefined,
        scale: 1,
        checkpointing,
        whenComplete,
      });
    step();
    const trained = model.parameters();
    const alone = trained.map((parameter) => parameter.grad?.tolist());
    for (const parameter of trained) parameter.grad = undefined;

    const sent: string[] = [];
    const strategy = dataParallel(recording(sent));
    const complete = strategy.whenComplete(model, trained);
    step((part) => {
      sent.push(`${part} complete`);
      complete?.(part);
    });
    await strategy.reduceGradients(trained);
    const block = model.layers[0]!.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0);
    expect(sent).toEqual([
      ...["head complete", "3 complete", `${16 + 40 * 16 + block}`], // the head alone is too little
      ...[2, 1, 0].flatMap((part) => [`${part} complete`, `${block}`]),
      ...["embedding complete", `${40 * 16}`, "counts"],
    ]);
    expect(trained.map((parameter) => parameter.grad?.tolist())).toEqual(alone);
  });
});

it.skipIf(process.platform !== "linux")(
  "what one rank has no gradient for is summed, what none has stays without",
  async () => {
    const ended = await runRanks(
      `const { GradientBuckets } = await import("${dist}/distributed/index.js");
       const world = await init();
       const of = (size) => t.zeros([size]).requiresGrad_();
       const [a, b, c, e] = [of(3), of(2), of(4), of(1)];
       const buckets = new GradientBuckets([[a, b], [c, e]], world);
       const give = (p, value) => { p.grad = t.full(p.shape, value); };
       const steps = [];
       for (const step of [1, 2]) {
         for (const p of [a, b, c, e]) p.grad = undefined;
         give(a, step + rank);
         if (rank === 1) give(b, 5);
         buckets.begin(0);
         if (rank === 0) give(e, 7);
         await buckets.finish();
         steps.push([a, b, c, e].map(({ grad }) => grad?.tolist() ?? null));
       }
       buckets.begin(0);
       give(a, 1);
       steps.push(await failure(buckets.finish()));
       await world.close();
       console.log(JSON.stringify(steps));`,
    );
    const step = (a: number) => [[a, a, a], [5, 5], null, [7]];
    const late = "Error: a gradient was computed after its bucket had gone";
    for (const { out, err } of ended)
      expect(err === "" ? JSON.parse(out) : err).toEqual([step(3), step(5), late]);
  },
);

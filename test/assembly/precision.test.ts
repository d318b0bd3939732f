// Keys that are about how numbers are held, where parity.test.ts cannot see them.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { evaluateBatch, microStep } from "../../lib/step/micro-step.js";
import { withNoise } from "../../lib/step/neftune.js";
import * as torch from "../../lib/torch/index.js";
import * as fixture from "../fixtures/model/read.js";
import { run, weightsFile } from "../train/runs.js";

describe("upcast_layernorm", () => {
  it("asks for autocast where the layers are of 16 bits", async () => {
    await expect(run({ model_name_or_path: "model-bfloat16", upcast_layernorm: true })).rejects.toThrow(
      "upcast_layernorm: float32 norms and bfloat16 layers need autocast between them; set bf16: true",
    );
  });

  it("changes a 16-bit model's result, and nothing of a float32 one", async () => {
    const result = async (model: string, bf16: boolean, upcast_layernorm: boolean) => {
      const keys = { model_name_or_path: model, bf16, upcast_layernorm, max_steps: 3, max_samples: 8 };
      return readFileSync(weightsFile((await run(keys)).dir)).toString("base64");
    };
    const [plain, wide] = [
      await result("model-bfloat16", true, false),
      await result("model-bfloat16", true, true),
    ];
    expect(wide).not.toBe(plain);
    expect(await result("model", false, true)).toBe(await result("model", false, false));
  });
});

it.each([
  [{ additional_target: "norm" }, "additional_target: norm"],
  [{ additional_target: "embed_tokens,lm_head" }, "additional_target: embed_tokens, lm_head"],
  [{ resize_vocab: true, add_tokens: "xyzzy" }, "resize_vocab: embed_tokens, lm_head"],
])("%j beside layers of 16 bits asks for autocast before any data is read", async (keys, what) => {
  const recipe = { model_name_or_path: "model-bfloat16", dataset: "nowhere", ...keys };
  await expect(run(recipe)).rejects.toThrow(
    `${what} trained in float32 and bfloat16 layers beside that need autocast between them; set bf16: true`,
  );
  await expect(run({ ...recipe, bf16: true })).rejects.toThrow("nowhere is not defined");
});

it("freeze on a model of 16 bits asks for autocast too", async () => {
  await expect(run({ model_name_or_path: "model-bfloat16", finetuning_type: "freeze" })).rejects.toThrow(
    "finetuning_type: freeze trains in float32, and bfloat16 layers beside that need autocast between them; set bf16: true",
  );
});

describe("neftune_noise_alpha", () => {
  it("draws from U(-m, m) with m = alpha / sqrt(length x width)", () => {
    torch.manualSeed(1);
    const noise = withNoise(torch.zeros([2, 50, 32]), 8);
    const bound = 8 / Math.sqrt(50 * 32);
    expect(Number(noise.abs().max().item())).toBeLessThanOrEqual(bound * (1 + 1e-6));
    expect(Number(noise.abs().max().item())).toBeGreaterThan(0.99 * bound);
    expect(Math.abs(Number(noise.mean().item()))).toBeLessThan(0.02 * bound);
  });

  it("is heard in training only", () => {
    const model = fixture.model("tied");
    const labels = Int32Array.from({ length: 12 }, (_, at) => at + 1);
    const batch = { inputIds: labels, labels, attentionMask: undefined, batch: 1, length: 12 };
    const options = { device: "cpu", compute: undefined, scale: 1 / 12, checkpointing: false } as const;
    model.model.layers[1]?.requiresGrad_(true);
    const quiet = evaluateBatch(model, batch, options);
    expect(microStep(model, batch, options)).toBe(quiet);
    expect(microStep(model, batch, { ...options, noiseAlpha: 5 })).not.toBe(quiet);
    // evaluation takes no such option: what it is given is left aside
    expect(evaluateBatch(model, batch, { ...options, noiseAlpha: 5 } as typeof options)).toBe(quiet);
  });
});

describe("full_determinism", () => {
  it("is on while a recipe asks for it, and off afterwards", async () => {
    // torch has no deterministic kernel for this operator, and says so when one is asked for
    const nondeterministic = () => {
      const into = torch.zeros([4]);
      return torch.call(
        "aten::put_",
        into,
        torch.tensor([1, 1], { dtype: "int64" }),
        torch.tensor([1, 2], { dtype: "float32" }),
        false,
      );
    };
    const seen: boolean[] = [];
    const look = (): boolean => {
      try {
        nondeterministic();
        return false;
      } catch (error) {
        expect(String(error)).toContain("deterministic");
        return true;
      }
    };
    await run({ max_samples: 4, max_steps: 1, full_determinism: true }, () => {
      seen.push(look());
      return false;
    });
    expect(new Set(seen)).toEqual(new Set([true]));
    expect(look()).toBe(false);
    await run({ max_samples: 4, max_steps: 1 }, () => {
      seen.push(look());
      return false;
    });
    expect(seen.at(-1)).toBe(false);
  });
});

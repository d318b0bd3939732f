// What attends in place of the flash kernel (flash_attn: sdpa, disabled) against that kernel: results and gradients, over
// rows and over packed documents; roundings as transformers' eager attention has them; and which word chooses which.
import { describe, expect, it } from "vitest";
import { attentionKernel } from "../../lib/assembly/model.js";
import { resolveRecipe } from "../../lib/config/index.js";
import { type AttentionKernel, causalAttention } from "../../lib/nn/index.js";
import {
  autocast,
  type DType,
  grad,
  manualSeed,
  randn,
  scope,
  type Tensor,
  tensor,
} from "../../lib/torch/index.js";
import { attentionLine } from "../../lib/train/setup/what-computes.js";

const SHAPE = { batch: 2, seq: 24, heads: 4, kvHeads: 2, dim: 8 };
const off = (a: Tensor, b: Tensor): number =>
  scope(() =>
    Number(a.detach().double().sub(b.detach().double()).norm().div(b.detach().double().norm()).item()),
  );

function run(kernel: AttentionKernel, documents: number[] | undefined, dtype: DType): Tensor[] {
  manualSeed(5);
  const { batch, seq, heads, kvHeads, dim } = SHAPE;
  const one = (count: number): Tensor =>
    randn([batch, seq, count, dim], { dtype: "float64" }).to(dtype).detach().requiresGrad_();
  const leaves = [one(heads), one(kvHeads), one(kvHeads)] as [Tensor, Tensor, Tensor];
  const cuSeqlens = documents && tensor(Int32Array.from(documents));
  const out = causalAttention(...leaves, cuSeqlens, { kernel });
  const seed = randn([batch, seq, heads, dim], { dtype: "float64" }).to(dtype);
  return [out, ...(grad(out.mul(seed).sum(), leaves) as Tensor[])];
}

describe.each(["sdpa", "plain"] as const)("%s", (kernel) => {
  it.each([
    ["rows", undefined],
    ["documents", [0, 5, 6, 24, 41, 48]],
  ] as const)("over %s gives what the flash kernel gives, with its gradients", (_, documents) => {
    const starts = documents && [...documents];
    const [ours, flash] = [run(kernel, starts, "float64"), run("flash", starts, "float64")];
    expect(ours.map(({ shape }) => shape)).toEqual(flash.map(({ shape }) => shape));
    for (const [i, one] of ours.entries()) expect(off(one, flash[i] as Tensor)).toBeLessThan(1e-12);
    // rows and documents differ, or the documents were not looked at
    if (starts)
      expect(off(ours[0] as Tensor, run(kernel, undefined, "float64")[0] as Tensor)).toBeGreaterThan(0.1);
  });

  it("computes in bfloat16 as near to float64 as the flash kernel does, twice over", () => {
    const exact = run("flash", undefined, "float64");
    const [ours, flash] = [run(kernel, undefined, "bfloat16"), run("flash", undefined, "bfloat16")];
    for (const [i, one] of ours.entries()) {
      expect(one.dtype).toBe("bfloat16");
      const bound = 2 * off(flash[i] as Tensor, exact[i] as Tensor);
      expect(off(one, exact[i] as Tensor)).toBeLessThan(bound);
    }
  });

  it("takes autocast's dtype", () => {
    const x = randn([1, 6, 2, 8]);
    expect(autocast("bfloat16", () => causalAttention(x, x, x, undefined, { kernel })).dtype).toBe(
      "bfloat16",
    );
  });
});

it("flash_attn chooses it, and the line says why", () => {
  const of = (flash_attn: string) =>
    resolveRecipe({
      model_name_or_path: "m",
      stage: "pt",
      do_train: true,
      dataset: "d",
      output_dir: "o",
      flash_attn,
    } as never).recipe;
  const words = ["auto", "fa2", "fa3", "sdpa", "disabled"];
  expect(words.map((word) => attentionKernel(of(word)))).toEqual([
    "flash",
    "flash",
    "flash",
    "sdpa",
    "plain",
  ]);
  expect(attentionLine(of("fa2"), true)).toBe("attention: flash, this package's kernel (flash_attn: fa2)");
  expect(attentionLine(of("auto"), false)).toBe("attention: flash, libtorch's kernels (flash_attn: auto)");
  expect(attentionLine(of("disabled"), true)).toBe(
    "attention: products and a softmax, all scores in memory (flash_attn: disabled)",
  );
});

// The arithmetic of the kernels that only training launches, on the processor (kernels.test.ts says how): the sum before
// a norm, LoRA's epilogues against the composites, AdamW's step against the processor's own, bit for bit.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dynamicLevels } from "../../../lib/nn/index.js";
import {
  backward,
  call,
  type DType,
  manualSeed,
  noGrad,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "../../../lib/torch/index.js";
import { native } from "../../../lib/torch/native.js";
import { distance } from "../../fixtures/model/read.js";
import { BOUND, DTYPES, drawn, suffix } from "./beside-composite.js";
import { canEmulate, launchedBy, loadEmulator } from "./emulator.js";

/** Results of an operator that has several, and the gradients of those inputs that are trained. */
function results(
  name: string,
  inputs: readonly Tensor[],
  trained: readonly boolean[],
  body: (x: Tensor[]) => Tensor[],
) {
  const leaves = inputs.map((x, at) => (trained[at] ? x.detach().clone().requiresGrad_() : x));
  const values = body(leaves);
  manualSeed(91);
  const seeds = values.map((value) => randn([...value.shape], { dtype: "float64" }).to(value.dtype));
  const total = values.map((value, at) => value.mul(seeds[at] as Tensor).sum());
  backward(total.reduce((a, b) => a.add(b)));
  return { name, values: values.map((value) => value.detach()), grads: leaves.map(({ grad }) => grad) };
}

type Results = ReturnType<typeof results>;

function near(own: Results, exact: Results, bound: number): void {
  for (const [at, value] of own.values.entries())
    expect(distance(value, exact.values[at] as Tensor), `value ${at}`).toBeLessThan(bound);
  for (const [at, grad] of own.grads.entries()) {
    expect(grad?.shape).toEqual(exact.grads[at]?.shape);
    if (grad !== undefined)
      expect(distance(grad, exact.grads[at] as Tensor), `gradient ${at}`).toBeLessThan(2 * bound);
  }
}

describe.runIf(canEmulate)("by the emulator", () => {
  beforeAll(loadEmulator);
  afterAll(() => native().loadKernelEmulator(""));

  describe("add_rms_norm", () => {
    it.each(
      DTYPES.flatMap(
        (dtype) =>
          [
            [dtype, dtype, [3, 5, 64], ""],
            [dtype, dtype, [7, 33], "_one"],
            [dtype, "float32", [4, 520], ""],
          ] as const,
      ),
    )("of %s by a weight of %s, %j%s", (dtype, weight, shape, one) => {
      const width = shape[shape.length - 1] as number;
      const [own, exact] = drawn([[...shape], [...shape], [width]], [dtype, dtype, weight]);
      const name = `${suffix(dtype)}_${suffix(weight === "float32" ? "float32" : dtype)}${one}`;
      for (const trained of [
        [true, true, true],
        [true, false, false],
      ]) {
        let fused: Results | undefined;
        const kernels = launchedBy(() => {
          fused = results(
            "fused",
            own,
            trained,
            ([x, residual, by]) => call("qwen_pt::add_rms_norm", x, residual, by, 1e-6) as Tensor[],
          );
        });
        expect(kernels).toEqual({ [`add_rms_norm_forward_${name}`]: 1, [`rms_norm_backward_${name}`]: 1 });
        const reference = results("composite", exact, trained, ([x, residual, by]) => {
          const sum = (x as Tensor).add(residual as Tensor);
          return [sum, call("qwen_pt::composite_rms_norm", sum, by, 1e-6) as Tensor];
        });
        near(fused as Results, reference, BOUND[dtype] as number);
      }
    });

    it("has a gradient where only the sum, or only the norm, goes on", () => {
      const [own, exact] = drawn([[6, 32], [6, 32], [32]], ["float32", "float32", "float32"]);
      for (const which of [0, 1]) {
        const trained = [true, true, true];
        const fused = results("fused", own, trained, (x) => [
          (call("qwen_pt::add_rms_norm", ...x, 1e-6) as Tensor[])[which] as Tensor,
        ]);
        const reference = results("composite", exact, trained, (x) => [
          (call("qwen_pt::composite_add_rms_norm", ...x, 1e-6) as Tensor[])[which] as Tensor,
        ]);
        near(fused, reference, 2e-6);
      }
    });
  });

  describe("lora_linear", () => {
    /** Layers of 40 and 24 columns out of `width`, over 37 rows. */
    const layers = (width: number, rank: number): number[][] => [
      [37, width],
      [rank, width],
      [40, rank],
      [rank, width],
      [24, rank],
    ];
    const linear = (name: string, dtype: DType, width: number, more: unknown[]) => (x: Tensor[]) => {
      manualSeed(8);
      const weights = [40, 24].map((rows) =>
        randn([rows, width], { dtype: "float64" }).div(Math.sqrt(width)).to("bfloat16").to(dtype),
      );
      manualSeed(9); // of what is dropped
      const [input, a1, b1, a2, b2] = x as [Tensor, Tensor, Tensor, Tensor, Tensor];
      return call(
        `qwen_pt::${name}`,
        input,
        weights,
        [a1, a2],
        [b1, b2],
        [0.5, 2],
        ...(more as []),
      ) as Tensor[];
    };

    it.each(
      DTYPES.flatMap(
        (dtype) =>
          [
            [dtype, 64, 8],
            [dtype, 33, 8], // no 16 bytes
            [dtype, 512, 19], // more than a tile of columns and of ranks
          ] as const,
      ),
    )("of %s, %i columns and %i ranks", (dtype, width, rank) => {
      const [own, exact] = drawn(
        layers(width, rank),
        Array.from({ length: 5 }, () => dtype),
      );
      let fused: Results | undefined;
      const trained = [true, true, true, true, true];
      const kernels = launchedBy(() => {
        fused = results("fused", own, trained, linear("lora_linear", dtype, width, []));
      });
      const name = `lora_update_${suffix(dtype)}_${suffix(dtype)}`;
      expect(kernels).toEqual(
        width === 33 ? { [name]: 2, [`${name}_one`]: 2 } : { [name]: 4 }, // y of each layer, dx through each
      );
      const reference = results(
        "composite",
        exact,
        trained,
        linear("composite_lora_linear", "float64", width, []),
      );
      near(fused as Results, reference, BOUND[dtype] as number);
    });

    it.each([
      ["float32", "float32"],
      ["bfloat16", "bfloat16"],
      ["float16", "float16"],
      ["float32", "bfloat16"], // as under autocast
      ["float32", "float16"],
    ] as const)("of %s, products in %s, where something is dropped", (wide, dtype) => {
      const dtypes = [wide, dtype, dtype, dtype, dtype];
      const [own] = drawn(layers(64, 8), dtypes);
      const trained = [true, true, true, true, true];
      const of = (name: string) =>
        results(name, own, trained, linear("lora_linear", dtype, 64, [0.25, wide]));
      let fused: Results | undefined;
      const kernels = launchedBy(() => {
        fused = of("fused");
      });
      const [same, mixed] = [`${suffix(dtype)}_${suffix(dtype)}`, `${suffix(wide)}_${suffix(dtype)}`];
      expect(kernels).toEqual({
        [`lora_drop_${mixed}`]: 4, // for each A, forward and back
        ...(same === mixed
          ? { [`lora_update_${same}`]: 4 }
          : { [`lora_update_${same}`]: 2, [`lora_update_${mixed}`]: 2 }),
      });
      native().loadKernelEmulator("");
      const composed = of("the processor's");
      loadEmulator();
      near(fused as Results, composed, BOUND[dtype] as number);
    });
  });

  describe("adamw_step_", () => {
    const levels = noGrad(() =>
      [true, false].flatMap((signed) => {
        const values = tensor(dynamicLevels(signed));
        return [values, call("qwen_pt::level_steps", values) as Tensor];
      }),
    );

    it.each(DTYPES.flatMap((dtype) => [[dtype, 8] as const, [dtype, 32] as const]))(
      "of %s, moments in %i bits: the processor's, bit for bit",
      (dtype, bits) => {
        const count = 3 * 256 + 91;
        const made = (): Tensor[] => [
          randn([count]).mul(0.02).to(dtype),
          ...(bits === 8
            ? [zeros([count], { dtype: "uint8" }), zeros([count], { dtype: "uint8" }), zeros([4]), zeros([4])]
            : [zeros([count]), zeros([count])]),
        ];
        noGrad(() => {
          const [own, reference] = [0, 1].map(() => {
            manualSeed(4);
            return made();
          }) as [Tensor[], Tensor[]];
          const kernels = launchedBy(() => {
            for (let step = 1; step <= 6; step++) {
              manualSeed(step);
              // a run of zeros among them
              const gradient = randn([count])
                .mul(10 ** -step)
                .to(dtype);
              gradient.narrow(0, 256, 256).zero_();
              for (const [name, [parameter, ...state]] of [
                ["fused_adamw_step_", own],
                ["adamw_step_", reference],
              ] as [string, [Tensor, ...Tensor[]]][])
                call(`qwen_pt::${name}`, parameter, gradient, state, bits === 8 ? levels : [], [
                  1e-3,
                  0.9,
                  0.999,
                  1e-8,
                  step % 2 ? 0.1 : 0,
                  step,
                ]);
            }
          });
          expect(kernels).toEqual({ [`adamw_${bits}bit_${suffix(dtype)}`]: 6 });
          for (const [at, each] of own.entries())
            expect(each.equal(reference[at] as Tensor), `operand ${at}`).toBe(true);
        });
      },
    );
  });
});

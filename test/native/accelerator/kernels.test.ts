// The CUDA kernels' arithmetic, on the processor: the same sources, compiled for fibers that play a block's threads, and
// launched by the same code that launches them on a card. Against the composites in float64, values and gradients.
// What a card alone can show (races, speed, how its hardware rounds exp) is doctor --gpu's and the kit's.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Linear4bit } from "../../../lib/nn/index.js";
import { call, manualSeed, noGrad, randn, type Tensor, tensor, zeros } from "../../../lib/torch/index.js";
import { native } from "../../../lib/torch/native.js";
import { BOUND, compare, DTYPES, drawn, type Run, run, suffix } from "./beside-composite.js";
import { canEmulate, launchedBy, loadEmulator } from "./emulator.js";

describe.runIf(canEmulate)("by the emulator", () => {
  beforeAll(loadEmulator);
  afterAll(() => native().loadKernelEmulator(""));

  describe("rms_norm", () => {
    it.each(
      DTYPES.flatMap(
        (dtype) =>
          [
            [dtype, dtype, [3, 5, 64], ""],
            [dtype, dtype, [7, 33], "_one"],
            [dtype, dtype, [600, 8], ""], // more rows than blocks add up the weight's gradient
            [dtype, "float32", [4, 520], ""],
          ] as const,
      ),
    )("of %s by a weight of %s, %j%s", (dtype, weight, shape, one) => {
      const width = shape[shape.length - 1] as number;
      const [own, exact] = drawn([[...shape], [width]], [dtype, weight]);
      const out = weight === "float32" ? "float32" : dtype;
      for (const trained of [
        [true, true],
        [true, false],
        [false, true],
      ]) {
        let fused: Run | undefined;
        const kernels = launchedBy(() => {
          fused = run("fused_rms_norm", own, [1e-6], trained);
        });
        const name = `${suffix(dtype)}_${suffix(out)}${one}`;
        expect(kernels).toEqual({ [`rms_norm_forward_${name}`]: 1, [`rms_norm_backward_${name}`]: 1 });
        expect(fused?.value.dtype).toBe(out);
        compare(fused as Run, run("composite_rms_norm", exact, [1e-6], trained), BOUND[dtype] as number);
      }
    });

    it("rounds where the composite rounds", () => {
      const [own] = drawn([[40, 96], [96]], ["bfloat16", "bfloat16"]);
      const [fused, composite] = ["fused_rms_norm", "composite_rms_norm"].map(
        (name) => run(name, own, [1e-6], [false, false]).value,
      ) as [Tensor, Tensor];
      // the sum of squares is in another order: a rounding may fall the other way, two may not
      const apart = fused.ne(composite).sum().item() as number;
      expect(apart).toBeLessThan(20);
    });
  });

  describe("quantize_float8", () => {
    it.each(DTYPES.flatMap((dtype) => [[dtype, [40, 64], ""] as const, [dtype, [5, 7], "_one"] as const]))(
      "of %s %j%s: the composite's codes and unit, to the bit",
      (dtype, shape, one) => {
        manualSeed(5);
        // from far below the smallest step to the largest number, with what is not finite at last
        const x = randn([...shape])
          .mul(
            randn([...shape])
              .mul(3)
              .exp(),
          )
          .to(dtype);
        for (const special of [undefined, Number.NaN, Number.NEGATIVE_INFINITY]) {
          if (special !== undefined) x.select(0, 1).select(0, 2).fill_(special);
          for (const wide of [false, true]) {
            let fused: Tensor[] = [];
            const kernels = launchedBy(() => {
              fused = call("qwen_pt::fused_quantize_float8", x, wide) as Tensor[];
            });
            const name = `${suffix(dtype)}${one}`;
            expect(kernels).toEqual({
              [`float8_largest_${name}`]: 1,
              [`float8_${wide ? "e5m2" : "e4m3"}_${name}`]: 1,
            });
            const composed = call("qwen_pt::composite_quantize_float8", x, wide) as Tensor[];
            if (special === undefined) expect(fused[0]?.toArray()).toEqual(composed[0]?.toArray());
            else expect((fused[1] as Tensor).item()).toBeNaN(); // and every product, whatever the codes
            expect((fused[1] as Tensor).item()).toBe((composed[1] as Tensor).item());
          }
        }
      },
    );
  });

  describe("norm_rope", () => {
    it.each(
      DTYPES.flatMap(
        (dtype) =>
          [
            [dtype, dtype, dtype, 1, 64, ""],
            [dtype, "float32", "float32", 2, 64, ""], // each row of the batch with its own positions
            [dtype, dtype, dtype, 1, 6, "_one"],
          ] as const,
      ),
    )(
      "of %s by a weight of %s, angles of %s for %i rows, heads of %i%s",
      (dtype, weight, angle, rows, dim, one) => {
        const [own, exact] = drawn(
          [[2, 5, 3, dim], [dim], [rows, 1, 5, dim], [rows, 1, 5, dim]],
          [dtype, weight, angle, angle],
        );
        const out = weight === "float32" ? "float32" : dtype;
        for (const trained of [
          [true, true, false, false],
          [true, false, false, false],
        ]) {
          let fused: Run | undefined;
          const kernels = launchedBy(() => {
            fused = run("fused_norm_rope", own, [1e-6], trained);
          });
          const name = `${suffix(dtype)}_${suffix(out)}${one}`;
          expect(kernels).toEqual({ [`norm_rope_forward_${name}`]: 1, [`norm_rope_backward_${name}`]: 1 });
          compare(fused as Run, run("composite_norm_rope", exact, [1e-6], trained), BOUND[dtype] as number);
        }
      },
    );
  });

  describe("swiglu", () => {
    it.each(
      DTYPES.flatMap(
        (dtype) =>
          [
            [dtype, [3, 40], ""],
            [dtype, [5, 7], "_one"],
            [dtype, [20, 300], ""],
          ] as const,
      ),
    )("of %s %j%s", (dtype, shape, one) => {
      const [own, exact] = drawn([[...shape], [...shape]], [dtype, dtype]);
      let fused: Run | undefined;
      const kernels = launchedBy(() => {
        fused = run("fused_swiglu", own, [], [true, true]);
      });
      const name = `${suffix(dtype)}${one}`;
      expect(kernels).toEqual({ [`swiglu_forward_${name}`]: 1, [`swiglu_backward_${name}`]: 1 });
      compare(fused as Run, run("composite_swiglu", exact, [], [true, true]), BOUND[dtype] as number);
    });
  });

  describe("linear_cross_entropy", () => {
    const labels = (classes: number) =>
      tensor(
        Array.from({ length: 20 }, (_, at) => BigInt(at % 4 === 3 ? -100 : (at * 37) % classes)),
        { dtype: "int64" },
      );

    it.each(
      DTYPES.flatMap(
        (dtype) =>
          [
            [dtype, 1024, ""],
            [dtype, 101, "_one"],
          ] as const,
      ),
    )("of %s over %i classes%s, in one chunk and in several", (dtype, classes, one) => {
      const [own, exact] = drawn(
        [
          [20, 16],
          [classes, 16],
        ],
        [dtype, dtype],
      );
      for (const trained of [
        [true, true],
        [true, false],
        [false, false],
      ])
        for (const [rows, chunks] of [
          [20, 1],
          [7, 3],
        ] as const) {
          const more = [labels(classes), 1 / 15, -100, rows * classes * (dtype === "float32" ? 4 : 2)];
          let fused: Run | undefined;
          const kernels = launchedBy(() => {
            fused = run("fused_linear_cross_entropy", own, more, trained);
          });
          expect(kernels).toEqual({ [`cross_entropy_${suffix(dtype)}${one}`]: chunks });
          const reference = run("composite_linear_cross_entropy", exact, more, trained);
          compare(fused as Run, reference, BOUND[dtype] as number);
        }
    });

    it("is NaN for a label beyond the vocabulary, which a card cannot throw", () => {
      const [own] = drawn(
        [
          [20, 16],
          [30, 16],
        ],
        ["bfloat16", "bfloat16"],
      );
      const loss = run("fused_linear_cross_entropy", own, [labels(30)], [false, false]);
      expect(Number.isFinite(loss.value.item() as number)).toBe(true);
      const beyond = run("fused_linear_cross_entropy", own, [labels(400)], [false, false]);
      expect(beyond.value.item()).toBeNaN();
    });

    it("goes on where a logit is infinite or a row's logits are far below zero", () => {
      const hidden = tensor([[1], [1]]);
      const weight = tensor([[-1e30], [-1e30], [-2e30]]);
      const loss = run("fused_linear_cross_entropy", [hidden, weight], [tensor([0n, 1n])], [true, false]);
      expect(loss.value.item()).toBeCloseTo(2 * Math.log(2), 5);
      expect(loss.grads[0]?.tolist()).toEqual([[expect.any(Number)], [expect.any(Number)]]);
    });
  });

  describe("dequantize_4bit", () => {
    it.each(
      (["nf4", "fp4"] as const).flatMap((type) =>
        [true, false].flatMap((nested) => DTYPES.map((dtype) => [type, nested, dtype] as const)),
      ),
    )("of %s, nested scales %s, to %s", (type, nested, dtype) => {
      manualSeed(3);
      noGrad(() => {
        const layer = new Linear4bit(96, 200, { type, nested, run: 64 });
        layer.quantize(randn([200, 96]).mul(0.05).to("bfloat16"));
        const [codes, ...state] = layer.operands() as [Tensor, ...Tensor[]];
        for (const stored of ["bfloat16", "float32"] as const) {
          const values = (name: string): Tensor =>
            call(`qwen_pt::${name}`, codes, state, 96, stored, dtype) as Tensor;
          let fused: Tensor | undefined;
          const kernels = launchedBy(() => {
            fused = values("fused_dequantize_4bit");
          });
          expect(kernels).toEqual({ [`dequantize_4bit_${suffix(dtype)}`]: 1 });
          expect(fused?.equal(values("composite_dequantize"))).toBe(true);
          expect(fused?.equal(values("dequantize"))).toBe(true);
        }
      });
    });

    it("of a count that no thread's share divides", () => {
      noGrad(() => {
        const layer = new Linear4bit(31, 33, { type: "nf4", nested: true, run: 64 });
        layer.quantize(randn([33, 31]));
        const [codes, ...state] = layer.operands() as [Tensor, ...Tensor[]];
        const values = (name: string): Tensor =>
          call(`qwen_pt::${name}`, codes, state, 31, "float32", "bfloat16") as Tensor;
        expect(values("fused_dequantize_4bit").equal(values("dequantize"))).toBe(true);
      });
    });
  });
});

describe("where no kernel runs", () => {
  it("the same operators are composed", () => {
    const x = randn([3, 8]);
    const kernels = launchedBy(() => {
      const fused = call("qwen_pt::fused_rms_norm", x, randn([8]), 1e-6) as Tensor;
      expect(fused.shape).toEqual([3, 8]);
    });
    expect(kernels).toEqual({});
  });

  it("QWEN_PT_FUSED=0 says so on every device", () => {
    const on = (): Record<string, number> =>
      launchedBy(() => {
        const x = zeros([3, 8], { device: "meta" });
        call("qwen_pt::rms_norm", x, x.select(0, 0), 1e-6);
      });
    expect(on()).toEqual({ rms_norm_forward_f32_f32: 1 });
    process.env["QWEN_PT_FUSED"] = "0";
    expect(on()).toEqual({});
    delete process.env["QWEN_PT_FUSED"];
  });

  it("a card without a driver has none, and says why", () => {
    expect(native().kernelState(0).reason).toMatch(/libcuda|driver/);
  });
});

// Products of 16-bit numbers, whatever multiplies them: against float64, with the bound that rounding the result to its
// dtype sets. Each kind runs on every processor; what a process chooses by itself is asked of real processes.
import { execFileSync } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import {
  call,
  type DType,
  getNumThreads,
  manualSeed,
  noGrad,
  productKinds,
  randn,
  scope,
  setNumThreads,
  type Tensor,
  zeros,
} from "../../../lib/torch/index.js";
import { processorFlags } from "../../../lib/torch/machine/processor.js";

type Kind = "panels" | "int16" | "packed";
const product = (x: Tensor, w: Tensor, transposed: boolean, kind: Kind): Tensor =>
  call("qwen_pt::product", x, w, transposed, kind) as Tensor;

/** |a - reference| / |reference|, in float64. */
const distance = (a: Tensor, reference: Tensor): number =>
  a.double().sub(reference).norm().item() / reference.norm().item();

const threads = getNumThreads();
afterEach(() => setNumThreads(threads));

/** What rounding to a dtype does to numbers spread evenly over an octave: half a unit / sqrt 3, less than half a unit. */
const HALF_UNIT = { bfloat16: 2 ** -9, float16: 2 ** -12 } as const;
/** Of 12 bits over a normal row's largest, and 13 to 16 bits of a token: what integers add, relative to the result. */
const INTEGERS = 0.0012;

// [tokens, out, in]: the shapes of layers, none of a whole tile, few rows, a long sum, several slabs
const shapes = [
  [128, 96, 64],
  [67, 35, 70],
  [1, 40, 33],
  [7, 129, 256],
  [130, 64, 5000],
  [65, 20_000, 256],
  [64, 2000, 3000],
  [2100, 24, 40],
] as const;

/** Packed products are of bfloat16, and need a processor that multiplies pairs of it: elsewhere they are refused. */
const packs = call("qwen_pt::has_packed_products") as boolean;
const kinds = [
  ["panels", ["bfloat16", "float16"]],
  ["int16", ["bfloat16", "float16"]],
  ...(packs ? [["packed", ["bfloat16"]] as const] : []),
] as const;

describe.each(kinds)("%s", (kind, dtypes) => {
  describe.each(dtypes)("of %s", (dtype) => {
    it.each(shapes)("is the product of %i x %i x %i, both directions", (tokens, out, inner) => {
      scope(() =>
        noGrad(() => {
          manualSeed(tokens);
          const [x, dOut] = [randn([tokens, inner]).to(dtype), randn([tokens, out]).to(dtype)];
          const w = randn([out, inner]).mul(0.02).to(dtype);
          const bound = HALF_UNIT[dtype] + (kind === "int16" ? INTEGERS : 1e-6);
          const [y, dX] = [product(x, w, true, kind), product(dOut, w, false, kind)];
          expect([y.dtype, y.shape, dX.shape]).toEqual([dtype, [tokens, out], [tokens, inner]]);
          expect(distance(y, x.double().matmul(w.double().t()))).toBeLessThan(bound);
          expect(distance(dX, dOut.double().matmul(w.double()))).toBeLessThan(bound);
        }),
      );
    });
  });

  it("says that a result is not a number where an operand is not", () => {
    const [x, w] = [randn([70, 32]).to("bfloat16"), randn([48, 32]).to("bfloat16")];
    x.select(0, 3).select(0, 5).fill_(Number.NaN);
    w.select(0, 7).select(0, 1).fill_(Number.POSITIVE_INFINITY);
    const y = product(x, w, true, kind);
    expect(Number(y.select(0, 3).isnan().all().item())).toBe(1);
    expect(Number(y.select(1, 7).isfinite().any().item())).toBe(0);
    expect(Number(y.narrow(0, 4, 60).narrow(1, 8, 40).isfinite().all().item())).toBe(1);
  });

  it("is zero where an operand is", () => {
    const w = randn([48, 32]).to("bfloat16");
    w.select(0, 2).zero_();
    const y = product(zeros([70, 32], { dtype: "bfloat16" }), w, true, kind);
    expect(y.abs().max().item()).toBe(0);
    const x = randn([70, 32]).to("bfloat16");
    expect(product(x, w, true, kind).select(1, 2).abs().max().item()).toBe(0);
  });

  it("gives the same whatever the number of threads", () => {
    const [x, w] = [randn([300, 96]).to("bfloat16"), randn([200, 96]).to("bfloat16")];
    const results = [1, 2, 3].map((count) => {
      setNumThreads(count);
      return product(x, w, true, kind === "packed" ? kind : "int16");
    });
    for (const other of results.slice(1)) expect(other.equal(results[0] as Tensor)).toBe(true);
  });
});

describe("int16", () => {
  /** The largest sums that are possible: everything at its limit and of one sign. */
  it.each([64, 1024, 9000])("does not overflow over %i equal numbers", (inner) => {
    const x = zeros([66, inner], { dtype: "bfloat16" }).fill_(3);
    const w = zeros([32, inner], { dtype: "bfloat16" }).fill_(-0.5);
    const y = product(x, w, true, "int16");
    expect(distance(y, x.double().matmul(w.double().t()))).toBeLessThan(HALF_UNIT.bfloat16 + 1e-3);
    const dOut = zeros([66, 32], { dtype: "bfloat16" }).fill_(2);
    const dX = product(dOut, w, false, "int16");
    expect(distance(dX, dOut.double().matmul(w.double()))).toBeLessThan(HALF_UNIT.bfloat16 + 1e-3);
  });

  it("keeps a token's small numbers beside one that is a hundred times as large", () => {
    const x = randn([128, 512]);
    x.select(1, 17).mul_(100);
    const [narrow, w] = [x.to("bfloat16"), randn([64, 512]).to("bfloat16")];
    w.select(1, 17).zero_(); // the large one decides the scale, and nothing else
    const exact = narrow.double().matmul(w.double().t());
    expect(distance(product(narrow, w, true, "int16"), exact)).toBeLessThan(0.02);
  });

  it("adds less than half of what rounding to bfloat16 does", () => {
    const [x, w] = [randn([1024, 1024]).to("bfloat16"), randn([1024, 1024]).to("bfloat16")];
    const exact = x.double().matmul(w.double().t());
    const rounded = distance(exact.to("bfloat16"), exact);
    const ours = distance(product(x, w, true, "int16"), exact);
    expect(Math.sqrt(ours ** 2 - rounded ** 2)).toBeLessThan(rounded / 2);
  });
});

/** Runs a script that prints JSON, in a process with these variables. */
function inProcess(script: string, env: Record<string, string>): unknown {
  const source = `import { call, integerProducts, matmulCases, productKinds } from ${JSON.stringify(new URL("./product-process.mjs", import.meta.url).href)};
    console.log(JSON.stringify(${script}));`;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", source], {
    env: { ...process.env, ...env },
  });
  return JSON.parse(out.toString());
}

describe("a process", () => {
  it("takes panels in the place of libtorch's products where it is told to, in every form", () => {
    const worst = inProcess("matmulCases()", { QWEN_PT_PRODUCTS: "panels" }) as Record<string, number>;
    for (const [name, apart] of Object.entries(worst)) expect(apart, name).toBeLessThan(2 ** -8);
  });

  it.skipIf(!packs)("packs in the place of libtorch's products where it is told to, in every form", () => {
    const worst = inProcess("matmulCases(3)", { QWEN_PT_PRODUCTS: "packed" }) as Record<string, number>;
    for (const [name, apart] of Object.entries(worst)) expect(apart, name).toBeLessThan(2 ** -8);
  });

  it.runIf(productKinds().processor === "AVX512_BF16")(
    "on AVX512_BF16 packs bfloat16, and float16 is widened, or multiplied in integers where it is frozen",
    () => {
      const kinds = inProcess('call("qwen_pt::product_kinds")', { QWEN_PT_PRODUCTS: "" });
      expect(kinds).toEqual(["AVX512_BF16", "packed", "int16", "packed", "panels"]);
    },
  );

  it("refuses a kind that this processor lacks", () => {
    const env = { ATEN_CPU_CAPABILITY: "avx2", ONEDNN_MAX_CPU_ISA: "AVX2", QWEN_PT_PRODUCTS: "packed" };
    expect(() => inProcess("productKinds()", env)).toThrow(
      /QWEN_PT_PRODUCTS=packed: these products need AVX512_BF16, and this process computes with AVX2: unset it/,
    );
  });

  it("on AVX2 multiplies frozen weights in integers and the rest by panels", () => {
    const kinds = inProcess('call("qwen_pt::product_kinds")', {
      ATEN_CPU_CAPABILITY: "avx2",
      ONEDNN_MAX_CPU_ISA: "AVX2",
      QWEN_PT_PRODUCTS: "",
    });
    expect(kinds).toEqual(["AVX2", "int16", "int16", "panels", "panels"]);
  });

  const flags = processorFlags() ?? [];
  const kinds = [
    ["AVX2", "avx2", "AVX2", ["avx2"]],
    ["AVX2_VNNI", "avx2", "AVX2_VNNI", ["avx2", "avx_vnni"]],
    ["AVX512_VNNI", "avx512", "AVX512_CORE_VNNI", ["avx512f", "avx512_vnni"]],
    ["AVX512", "avx512", "AVX512_CORE_BF16", ["avx512f", "avx512_vnni", "avx512_bf16"]],
  ] as const;
  const here = kinds.filter(([, , , needed]) => needed.every((flag) => flags.includes(flag)));

  it.runIf(here.length > 1)(
    "multiplies the same integers to the same result, whatever kernel does it",
    () => {
      const found = here.map(([kind, aten, onednn]) => {
        const env = { ATEN_CPU_CAPABILITY: aten, ONEDNN_MAX_CPU_ISA: onednn };
        const [capability, digest] = inProcess("integerProducts()", env) as [string, string];
        expect(capability).toBe(kind);
        return digest;
      });
      expect(new Set(found).size).toBe(1);
    },
  );

  it.runIf(here.length > 1)(
    "multiplies frozen weights in integers where it has instructions for them",
    () => {
      // the last of the list multiplies bfloat16 itself
      for (const [kind, aten, onednn] of here.filter(([name]) => name !== "AVX512")) {
        const env = { ATEN_CPU_CAPABILITY: aten, ONEDNN_MAX_CPU_ISA: onednn, QWEN_PT_PRODUCTS: "" };
        const found = inProcess('call("qwen_pt::product_kinds")', env);
        expect(found).toEqual([kind, "int16", "int16", "panels", "panels"]);
      }
    },
  );

  it("says what it does here", () => {
    const { processor, frozen, other } = productKinds();
    expect(["AVX2", "AVX2_VNNI", "AVX512", "AVX512_VNNI", "AVX512_BF16", "AMX", "default"]).toContain(
      processor,
    );
    expect(["native", "packed", "panels", "int16"]).toContain(frozen.bfloat16);
    expect(["native", "panels"]).toContain(other.float16 as DType | string);
  });
});

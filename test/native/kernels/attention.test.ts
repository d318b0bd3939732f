// Causal attention on the CPU against libtorch's own, document by document, in double precision; its hand-derived
// gradient against autograd's of that composition and against finite differences; on every kind of processor that
// this one can stand in for.
import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { causalAttention } from "../../../lib/nn/attention.js";
import {
  autocast,
  backward,
  call,
  type DType,
  getNumThreads,
  grad,
  manualSeed,
  noGrad,
  randn,
  schemaOf,
  setNumThreads,
  type Tensor,
  tensor,
  zeros,
} from "../../../lib/torch/index.js";
import { buildProgram } from "../../cli/program.js";
import { runTorch } from "../../torch/processes.js";

interface Shape {
  batch: number;
  seq: number;
  heads: number;
  kvHeads: number;
  dim: number;
  documents?: number[];
}
interface Case {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  seed: Tensor;
  cuSeqlens: Tensor | undefined;
}
type Attention = typeof causalAttention;

const reference: Attention = (q, k, v, cuSeqlens) =>
  call("qwen_pt::composite_causal_attention", q, k, v, cuSeqlens) as Tensor;

function make({ batch, seq, heads, kvHeads, dim, documents }: Shape): Case {
  manualSeed(seq * 131 + heads * 17 + dim);
  const one = (count: number): Tensor => randn([batch, seq, count, dim], { dtype: "float64" });
  let at = 0;
  const starts = documents && [0, ...documents.map((length) => (at += length))];
  return {
    q: one(heads).mul(2),
    k: one(kvHeads),
    v: one(kvHeads),
    seed: one(heads),
    cuSeqlens: starts && tensor(Int32Array.from(starts)),
  };
}

/** The output and the gradients of q, k and v, each in float64. */
function run(attention: Attention, { q, k, v, seed, cuSeqlens }: Case, dtype: DType): Tensor[] {
  const leaves = [q, k, v].map((x) => x.to({ dtype }).detach().requiresGrad_());
  const out = attention(leaves[0] as Tensor, leaves[1] as Tensor, leaves[2] as Tensor, cuSeqlens);
  expect(out.dtype).toBe(dtype);
  expect(out.shape).toEqual(q.shape);
  backward(out, seed.to({ dtype }));
  return [out.detach(), ...leaves.map((leaf) => leaf.grad as Tensor)].map((x) => x.double());
}

/** |a - b| / |b|; absolute where b is nothing. */
function distance(a: Tensor, b: Tensor): number {
  return a.sub(b).norm().item() / Math.max(b.norm().item(), 1);
}

const rounded = (of: Case, dtype: DType): Case => {
  const round = (x: Tensor): Tensor => x.to({ dtype }).double();
  return { ...of, q: round(of.q), k: round(of.k), v: round(of.v), seed: round(of.seed) };
};

const shapes: [string, Shape][] = [
  ["one token", { batch: 1, seq: 1, heads: 2, kvHeads: 1, dim: 8 }],
  ["a few tokens", { batch: 2, seq: 7, heads: 2, kvHeads: 2, dim: 16 }],
  ["a block and one", { batch: 1, seq: 97, heads: 4, kvHeads: 2, dim: 32 }],
  ["several blocks, odd sizes", { batch: 2, seq: 331, heads: 3, kvHeads: 1, dim: 33 }],
  ["Qwen3's heads", { batch: 1, seq: 600, heads: 4, kvHeads: 2, dim: 128 }],
  [
    "packed documents",
    { batch: 2, seq: 300, heads: 4, kvHeads: 2, dim: 64, documents: [1, 250, 49, 0, 97, 203] },
  ],
];

let program: string;
beforeAll(async () => {
  program = await buildProgram();
});
afterAll(() => rmSync(program, { recursive: true }));
afterEach(() => setNumThreads(1));

describe.each(shapes)("%s", (_, shape) => {
  // float32: what 24 bits leave. 16 bits: about as far off as libtorch's own kernel.
  it.each([
    ["float64", 1e-13],
    ["float32", 2e-6],
    ["bfloat16", 1.2e-2],
    ["float16", 1.5e-3],
  ] as const)("%s: output and gradients are the composition's", (dtype, bound) => {
    const exact = rounded(make(shape), dtype);
    const ours = run(causalAttention, exact, dtype);
    const theirs = run(reference, exact, "float64");
    for (const [i, one] of ours.entries())
      expect(distance(one, theirs[i] as Tensor), `${i}`).toBeLessThan(bound);
  });

  it("more threads than heads divide the work, and change nothing but the order of sums", () => {
    const exact = make(shape);
    const alone = run(causalAttention, exact, "float64");
    const threads = getNumThreads();
    setNumThreads(5);
    const shared = run(causalAttention, exact, "float64");
    setNumThreads(threads);
    for (const [i, one] of shared.entries()) expect(distance(one, alone[i] as Tensor)).toBeLessThan(1e-14);
  });
});

it("the gradient agrees with finite differences", () => {
  const { q, k, v, seed, cuSeqlens } = make({
    batch: 1,
    seq: 120,
    heads: 2,
    kvHeads: 1,
    dim: 6,
    documents: [101, 19],
  });
  const leaves = [q, k, v].map((x) => x.detach().requiresGrad_());
  const loss = (step: number, turned?: number): Tensor => {
    const [a, b, c] = leaves.map((x, i) => (i === turned ? x.add(x.cos().mul(step)) : x)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return causalAttention(a, b, c, cuSeqlens).mul(seed).sum();
  };
  const grads = grad(loss(0), leaves) as Tensor[];
  for (const [i, leaf] of leaves.entries()) {
    const along = (grads[i] as Tensor).mul(leaf.cos()).sum().item();
    const step = 1e-5;
    const measured = noGrad(() => (loss(step, i).item() - loss(-step, i).item()) / (2 * step));
    expect(Math.abs(measured - along) / Math.abs(along)).toBeLessThan(1e-7);
  }
});

it("a packed document's output is its output alone, bit for bit", () => {
  for (const dtype of ["float32", "bfloat16"] as const) {
    const documents = [130, 1, 69];
    const { q, k, v, cuSeqlens } = make({ batch: 1, seq: 200, heads: 4, kvHeads: 2, dim: 32, documents });
    const [a, b, c] = [q, k, v].map((x) => x.to({ dtype })) as [Tensor, Tensor, Tensor];
    const packed = causalAttention(a, b, c, cuSeqlens);
    let start = 0;
    for (const length of documents) {
      const part = (x: Tensor): Tensor => x.narrow(1, start, length);
      expect(part(packed).equal(causalAttention(part(a), part(b), part(c)))).toBe(true);
      start += length;
    }
  }
});

it("takes tensors of any strides, and a scale", () => {
  const { q, k, v, seed } = make({ batch: 2, seq: 40, heads: 4, kvHeads: 2, dim: 16 });
  const turned = [q, k, v].map((x) =>
    x.transpose(1, 2).contiguous().transpose(1, 2).detach().requiresGrad_(),
  );
  const straight = [q, k, v].map((x) => x.detach().requiresGrad_());
  for (const [a, b, c] of [turned, straight] as [Tensor, Tensor, Tensor][]) {
    backward(
      causalAttention(a, b, c, undefined, { scale: 0.3 }),
      seed.transpose(1, 2).contiguous().transpose(1, 2),
    );
  }
  for (const i of [0, 1, 2]) {
    expect(turned[i]?.grad?.equal(straight[i]?.grad as Tensor)).toBe(true);
  }
  const wanted = call("qwen_pt::composite_causal_attention", q, k, v, undefined, { scale: 0.3 }) as Tensor;
  expect(distance(causalAttention(q, k, v, undefined, { scale: 0.3 }), wanted)).toBeLessThan(1e-13);
});

it("under autocast it computes in autocast's dtype and sends gradients back in the operands'", () => {
  const { q, k, v, seed } = rounded(make({ batch: 1, seq: 50, heads: 2, kvHeads: 1, dim: 32 }), "bfloat16");
  const leaf = q.float().requiresGrad_();
  const out = autocast("bfloat16", () => causalAttention(leaf, k.float(), v.bfloat16()));
  expect(out.dtype).toBe("bfloat16");
  backward(out, seed.bfloat16());
  expect(leaf.grad?.dtype).toBe("float32");
  expect(out.equal(causalAttention(q.bfloat16(), k.bfloat16(), v.bfloat16()))).toBe(true);
});

it("large scores neither overflow nor lose the gradient", () => {
  const q = zeros([1, 3, 1, 8]).add(300).requiresGrad_();
  const k = tensor([1, -1, 2]).view([1, 3, 1, 1]).expand([1, 3, 1, 8]).mul(300);
  const v = tensor([1, 2, 3]).view([1, 3, 1, 1]).expand([1, 3, 1, 8]).contiguous();
  const out = causalAttention(q, k, v);
  const picked = out.detach().select(3, 0).flatten().tolist() as number[];
  for (const [i, wanted] of [1, 1, 3].entries()) expect(picked[i]).toBeCloseTo(wanted, 5);
  backward(out.sum());
  expect(q.grad?.abs().max().item()).toBeLessThan(1e-2); // scores of half a million, in float32
});

it("runs on the meta device, where nothing can be read", () => {
  const on = (heads: number): Tensor => zeros([2, 9, heads, 16], { device: "meta", requiresGrad: true });
  const [q, k, v] = [on(4), on(2), on(2)];
  const documents = zeros([4], { device: "meta", dtype: "int32" });
  for (const cuSeqlens of [undefined, documents]) {
    const out = causalAttention(q, k, v, cuSeqlens);
    expect([out.shape, out.requiresGrad]).toEqual([[2, 9, 4, 16], true]);
    backward(out, out.detach());
  }
  expect(k.grad?.shape).toEqual([2, 9, 2, 16]);
});

describe("on an accelerator", () => {
  const on = (dtype: DType, dim: number, heads: number): Tensor =>
    zeros([2, 9, heads, dim], { device: "meta", dtype, requiresGrad: true });

  it.each([
    ["bfloat16", 128, "documents, flash"],
    ["float16", 64, "documents, flash"],
    ["float32", 128, "documents, memory-efficient"],
    ["bfloat16", 512, "documents, memory-efficient"], // longer heads than flash has
    ["bfloat16", 12, "document by document"], // no kernel has heads that are no multiple of 8
    ["float64", 128, "document by document"],
  ] as const)("documents in %s with heads of %i: %s", (dtype, dim, kernel) => {
    const [q, k, v] = [on(dtype, dim, 4), on(dtype, dim, 2), on(dtype, dim, 2)];
    const documents = zeros([4], { device: "meta", dtype: "int32" });
    expect(call("qwen_pt::attention_choice", q, k, v, documents)).toBe(kernel);
    const out = causalAttention(q, k, v, documents);
    expect([out.shape, out.dtype]).toEqual([q.shape, dtype]);
    backward(out, out.detach());
    expect([q, k, v].map(({ grad }) => [grad?.shape, grad?.dtype])).toEqual(
      [q, k, v].map((x) => [x.shape, dtype]),
    );
  });

  it("whole rows go to flash in 16 bits, and with heads repeated elsewhere", () => {
    const choose = (dtype: DType) =>
      call("qwen_pt::attention_choice", on(dtype, 128, 4), on(dtype, 128, 2), on(dtype, 128, 2));
    expect(["bfloat16", "float32"].map((dtype) => choose(dtype as DType))).toEqual([
      "rows, flash",
      "rows, another",
    ]);
  });

  it("libtorch's kernels take the arguments that they are handed", () => {
    const flash = schemaOf("aten::_flash_attention_forward").parameters.map(({ name }) => name);
    expect(flash.slice(0, 10).join()).toBe(
      "query,key,value,cum_seq_q,cum_seq_k,max_q,max_k,dropout_p,is_causal,return_debug_mask",
    );
    const efficient = schemaOf("aten::_efficient_attention_forward").parameters.map(({ name }) => name);
    expect(efficient.slice(0, 11).join()).toBe(
      "query,key,value,bias,cu_seqlens_q,cu_seqlens_k,max_seqlen_q,max_seqlen_k,dropout_p,custom_mask_type,compute_log_sumexp",
    );
  });
});

it("what does not fit is refused by name", () => {
  const { q, k, v } = make({ batch: 1, seq: 4, heads: 3, kvHeads: 1, dim: 8 });
  const starts = (...at: number[]): Tensor => tensor(Int32Array.from(at));
  expect(() => causalAttention(q, k, v.float())).toThrow(/value Float/);
  expect(() =>
    causalAttention(q.narrow(2, 0, 1).expand([1, 4, 3, 8]), q.narrow(2, 0, 2), q.narrow(2, 0, 2)),
  ).toThrow(/do not belong together/);
  expect(() => causalAttention(q, k, v, starts(0, 3))).toThrow(/from 0 to 4/);
  expect(() => causalAttention(q, k, v, starts(0, 3, 2, 4))).toThrow(/falls from 3 to 2/);
  expect(() => causalAttention(q, k, v, tensor([0n, 4n]))).toThrow(/int32/);
});

it("on Linux every thread that was asked for takes part", async () => {
  if (process.platform !== "linux") return;
  const body = `
    import { readdirSync } from "node:fs";
    torch.setNumThreads(4);
    const x = torch.zeros([1, 400, 4, 16]);
    const before = readdirSync("/proc/self/task").length;
    torch.call("qwen_pt::causal_attention", x, x, x);
    console.log(readdirSync("/proc/self/task").length - before);`;
  const { code, out, err } = await runTorch(program, body);
  expect([code, err, out.trim()]).toEqual([0, "", "3"]);
});

describe.skipIf(process.arch !== "x64")("on older processors", () => {
  it.each(["default", "avx2"])("compiled for %s it gives the same", async (capability) => {
    const body = `
      const { backward, call, manualSeed, randn, tensor } = torch;
      manualSeed(3);
      const seq = 211, starts = tensor(Int32Array.from([0, 120, 211]));
      const make = (heads) => randn([1, seq, heads, 48], { dtype: "float64" });
      const all = [make(4), make(2), make(2)], seed = make(4), far = {};
      for (const dtype of ["float64", "float32", "bfloat16", "float16"]) {
        const run = (name, to) => {
          const leaves = all.map((x) => x.to({ dtype }).to({ dtype: to }).detach().requiresGrad_());
          const out = call("qwen_pt::" + name, ...leaves, starts);
          backward(out, seed.to({ dtype }).to({ dtype: to }));
          return [out.detach(), ...leaves.map((leaf) => leaf.grad)].map((x) => x.double());
        };
        const theirs = run("composite_causal_attention", "float64");
        far[dtype] = Math.max(...run("causal_attention", dtype).map(
          (x, i) => x.sub(theirs[i]).norm().item() / theirs[i].norm().item()));
      }
      console.log(JSON.stringify({ ...far, capability: call("qwen_pt::kernel_capability") }));`;
    const { code, out, err } = await runTorch(program, body, { env: { ATEN_CPU_CAPABILITY: capability } });
    expect([code, err]).toEqual([0, ""]);
    const far = JSON.parse(out) as Record<string, number>;
    expect(String(far.capability).toLowerCase()).toMatch(new RegExp(`^${capability}`));
    expect(far.float64).toBeLessThan(1e-13);
    expect(far.float32).toBeLessThan(2e-6);
    expect(far.bfloat16).toBeLessThan(1.2e-2);
    expect(far.float16).toBeLessThan(1.5e-3);
  });
});

describe("operands in memory", () => {
  it("rows of one token that lie apart are read where they are", () => {
    manualSeed(8);
    // [2, 1, heads, dim] that counts as dense, because the stride of a dimension of one counts for nothing
    const apart = (heads: number): Tensor => randn([1, 2, heads, 16]).transpose(0, 1);
    const operands = [apart(4), apart(2), apart(2)] as const;
    const plain = operands.map((x) =>
      x
        .reshape([-1])
        .view([...x.shape])
        .clone(),
    ) as unknown as typeof operands;
    expect(causalAttention(...operands).tolist()).toEqual(causalAttention(...plain).tolist());
  });

  it("cu_seqlens that cannot be read are refused", () => {
    const q = randn([1, 4, 2, 16]).to("meta");
    const starts = tensor(Int32Array.from([0, 4])).to("meta");
    expect(() => call("qwen_pt::composite_causal_attention", q, q, q, starts)).toThrow(
      /cu_seqlens is on meta/,
    );
  });

  it("targets that are no whole numbers are refused", () => {
    const [hidden, weight] = [randn([3, 4], { dtype: "float64" }), randn([5, 4], { dtype: "float64" })];
    const target = tensor([0.5, 1.7, 2]);
    expect(() => call("qwen_pt::linear_cross_entropy", hidden, weight, target)).toThrow(
      /target must be of integers/,
    );
  });
});

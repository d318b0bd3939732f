// How fast the main operators are on a device, at the shapes of Qwen3-0.6B: products, attention, the loss, the optimizer.
import { messageOf } from "../../errors.js";
import { causalAttention } from "../../nn/index.js";
import { AdamW } from "../../optim/index.js";
import {
  backward,
  type Device,
  type DType,
  linearCrossEntropy,
  noGrad,
  randn,
  scaledDotProductAttention,
  scope,
  synchronize,
  type Tensor,
  tensor,
} from "../../torch/index.js";
import { float8Works } from "./float8.js";

/** Qwen3-0.6B; `small` is for trying the measurement itself. */
export interface Shapes {
  readonly tokens: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  /** Elements that the optimizer updates: a LoRA of rank 8 on every linear layer. */
  readonly trained: number;
}

export const QWEN3_06B: Shapes = {
  tokens: 1024,
  hidden: 1024,
  intermediate: 3072,
  heads: 16,
  kvHeads: 8,
  headDim: 128,
  vocabulary: 151_936,
  trained: 5_046_272,
};

export const SMALL: Shapes = {
  tokens: 64,
  hidden: 64,
  intermediate: 192,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  vocabulary: 512,
  trained: 10_000,
};

export interface Timing {
  readonly name: string;
  readonly shape: string;
  readonly dtype: DType;
  readonly milliseconds: number;
  /** Of useful arithmetic; undefined for what moves memory. */
  readonly teraflops?: number;
  /** Of memory read and written; undefined for arithmetic. */
  readonly gigabytes?: number;
  readonly error?: string;
}

interface Work {
  name: string;
  shape: string;
  dtype: DType;
  flop?: number;
  bytes?: number;
  /** Makes the inputs and returns what is timed. */
  prepare(): () => void;
}

const BUDGET_MS = 400;

/** Median milliseconds of a call, the device waited for. */
function measure(device: Device, call: () => void): number {
  const once = (): number => {
    const start = performance.now();
    scope(call);
    synchronize(device);
    return performance.now() - start;
  };
  once();
  once();
  const times: number[] = [];
  const start = performance.now();
  while (times.length < 3 || (times.length < 50 && performance.now() - start < BUDGET_MS)) times.push(once());
  return times.sort((a, b) => a - b)[times.length >> 1] as number;
}

function products(s: Shapes, dtype: DType, device: Device): Work[] {
  const layers: [name: string, into: number, out: number][] = [
    ["q_proj", s.hidden, s.heads * s.headDim],
    ["k_proj, v_proj", s.hidden, s.kvHeads * s.headDim],
    ["o_proj", s.heads * s.headDim, s.hidden],
    ["gate_proj, up_proj", s.hidden, s.intermediate],
    ["down_proj", s.intermediate, s.hidden],
  ];
  return layers.map(([name, into, out]) => ({
    name: `product: ${name}`,
    shape: `[${s.tokens}, ${into}] x [${into}, ${out}]`,
    dtype,
    flop: 2 * s.tokens * into * out,
    prepare: () => {
      const x = randn([s.tokens, into], { dtype, device });
      const w = randn([out, into], { dtype, device });
      return () => noGrad(() => void x.matmul(w.transpose(0, 1)));
    },
  }));
}

/** Causal: half of the full products, two forward; five backward, one of them the recomputed scores. */
function attention(s: Shapes, dtype: DType, device: Device): Work[] {
  const forward = 2 * s.heads * s.tokens * s.tokens * s.headDim;
  const shape = `${s.heads} heads (${s.kvHeads} of keys) x ${s.tokens} x ${s.headDim}`;
  const inputs = (layout: (heads: number) => number[], requiresGrad: boolean) =>
    [s.heads, s.kvHeads, s.kvHeads].map((heads) => randn(layout(heads), { dtype, device, requiresGrad })) as [
      Tensor,
      Tensor,
      Tensor,
    ];
  const own = (heads: number) => [1, s.tokens, heads, s.headDim];
  const torch = (heads: number) => [1, heads, s.tokens, s.headDim];
  const both = (run: (q: Tensor, k: Tensor, v: Tensor) => Tensor, layout: (heads: number) => number[]) => {
    const [q, k, v] = inputs(layout, true);
    return () => {
      backward(run(q, k, v).sum());
      for (const leaf of [q, k, v]) leaf.grad = undefined;
    };
  };
  const sdpa = (q: Tensor, k: Tensor, v: Tensor) =>
    scaledDotProductAttention(q, k, v, undefined, 0, true, { enableGqa: true });
  const base = { shape, dtype };
  return [
    {
      ...base,
      name: "SDPA, forward",
      flop: forward,
      prepare: () => {
        const [q, k, v] = inputs(torch, false);
        return () => noGrad(() => void sdpa(q, k, v));
      },
    },
    { ...base, name: "SDPA, forward and backward", flop: 3.5 * forward, prepare: () => both(sdpa, torch) },
    {
      ...base,
      name: "causal attention, forward and backward",
      flop: 3.5 * forward,
      prepare: () => both((q, k, v) => causalAttention(q, k, v), own),
    },
  ];
}

function loss(s: Shapes, dtype: DType, device: Device): Work {
  return {
    name: "linear + cross entropy, forward and backward",
    shape: `[${s.tokens}, ${s.hidden}] x [${s.hidden}, ${s.vocabulary}]`,
    dtype,
    flop: 2 * 2 * s.tokens * s.hidden * s.vocabulary, // the head is frozen: the gradient of the input alone
    prepare: () => {
      const x = randn([s.tokens, s.hidden], { dtype, device, requiresGrad: true });
      const w = randn([s.vocabulary, s.hidden], { dtype, device });
      const targets = tensor(
        Array.from({ length: s.tokens }, (_, at) => (at * 7919) % s.vocabulary),
        { dtype: "int64", device },
      );
      return () => {
        backward(linearCrossEntropy(x, w, targets, 1 / s.tokens, -100, 64 << 20));
        x.grad = undefined;
      };
    },
  };
}

function optimizer(s: Shapes, device: Device): Work {
  return {
    name: "AdamW step",
    shape: `${s.trained} elements`,
    dtype: "float32",
    bytes: s.trained * 4 * 7, // read: weight, gradient, two moments; written: all but the gradient
    prepare: () => {
      const p = randn([s.trained], { device, requiresGrad: true });
      p.grad = randn([s.trained], { device });
      const adamw = new AdamW([{ names: ["p"], parameters: [p], weightDecay: 0.01 }], { learningRate: 1e-4 });
      return () => adamw.step();
    },
  };
}

/** The works of both dtypes, one after the other, each with its inputs made and freed. */
export function timings(device: Device, shapes: Shapes): Timing[] {
  const works = (["bfloat16", "float32"] as const).flatMap((dtype) => [
    ...products(shapes, dtype, device),
    ...attention(shapes, dtype, device),
    loss(shapes, dtype, device),
  ]);
  const narrow = float8Works(shapes.tokens, shapes.hidden, shapes.intermediate, device);
  return [...works, ...narrow, optimizer(shapes, device)].map(({ prepare, flop, bytes, ...work }) => {
    try {
      const milliseconds = scope(() => measure(device, prepare()));
      const perSecond = (amount: number | undefined, unit: number) =>
        amount === undefined ? undefined : amount / (milliseconds / 1000) / unit;
      return { ...work, milliseconds, teraflops: perSecond(flop, 1e12), gigabytes: perSecond(bytes, 1e9) };
    } catch (error) {
      return { ...work, milliseconds: Number.NaN, error: messageOf(error) };
    }
  });
}

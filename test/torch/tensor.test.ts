// The Tensor class against Python's torch: every method, by value, dtype and shape; typed arrays in and out;
// gradients; the meta device; errors. The numbers come from test/fixtures/torch/make.py.
import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  arange,
  backward,
  bytesPerElement,
  call,
  cat,
  crossEntropy,
  DisposedError,
  type DType,
  embedding,
  enableGrad,
  eye,
  fromBytes,
  full,
  fullLike,
  grad,
  isGradEnabled,
  linear,
  linspace,
  loadSafetensors,
  noGrad,
  ones,
  onesLike,
  ops,
  rmsNorm,
  scaledDotProductAttention,
  stack,
  Tensor,
  TorchError,
  tensor,
  where,
  zeros,
  zerosLike,
} from "../../lib/torch/index.js";

const fixture = loadSafetensors(new URL("../fixtures/torch/values.safetensors", import.meta.url).pathname);

function stored(name: string): Tensor {
  const found = fixture.get(name);
  if (found === undefined) throw new Error(`no ${name} in values.safetensors`);
  return found;
}

type Input = "x" | "y" | "row" | "m" | "batch" | "other" | "i" | "j" | "mask" | "take" | "column" | "d";
const v = Object.fromEntries(
  [...fixture.keys()]
    .filter((name) => name.startsWith("in."))
    .map((name) => [name.slice(3), stored(name).clone()]),
) as Record<Input, Tensor>;

/** The names of make.py's EXPRESSIONS, in its order. */
const expressions: Record<string, () => Tensor | readonly Tensor[]> = {
  add: () => v.x.add(v.y),
  "add number": () => v.x.add(2.5),
  "add alpha": () => v.x.add(v.y, { alpha: 3 }),
  "add broadcast": () => v.x.add(v.row),
  "add int and float": () => v.i.add(v.x),
  "add int and 2": () => v.i.add(2),
  "add int and a half": () => v.i.add(0.5),
  sub: () => v.x.sub(v.y),
  "sub alpha": () => v.x.sub(v.y, { alpha: 2 }),
  mul: () => v.x.mul(v.y),
  "mul int by 2": () => v.i.mul(2),
  div: () => v.x.div(v.y),
  "div int": () => v.i.div(v.j),
  "div floor": () => v.i.div(v.j, { roundingMode: "floor" }),
  "div trunc": () => v.i.div(v.j, { roundingMode: "trunc" }),
  remainder: () => v.i.remainder(v.j),
  pow: () => v.y.pow(v.x),
  "pow 3": () => v.x.pow(3),
  "pow int": () => v.i.pow(2),
  maximum: () => v.x.maximum(v.y),
  minimum: () => v.x.minimum(v.y),
  clamp: () => v.x.clamp(-0.5, 0.5),
  "clamp min": () => v.x.clamp(0.1),
  "clamp max": () => v.x.clamp(undefined, 0.1),
  neg: () => v.x.neg(),
  abs: () => v.x.abs(),
  exp: () => v.x.exp(),
  log: () => v.y.log(),
  sqrt: () => v.y.sqrt(),
  rsqrt: () => v.y.rsqrt(),
  square: () => v.x.square(),
  reciprocal: () => v.y.reciprocal(),
  sin: () => v.x.sin(),
  cos: () => v.x.cos(),
  tanh: () => v.x.tanh(),
  sigmoid: () => v.x.sigmoid(),
  relu: () => v.x.relu(),
  silu: () => v.x.silu(),
  floor: () => v.x.floor(),
  ceil: () => v.x.ceil(),
  round: () => v.x.round(),
  sign: () => v.x.sign(),
  isfinite: () => v.x.div(v.mask).isfinite(),
  isnan: () => v.mask.div(v.mask).isnan(),
  eq: () => v.i.eq(v.j),
  "ne 1": () => v.i.ne(1),
  lt: () => v.x.lt(v.y),
  "le 0": () => v.x.le(0),
  gt: () => v.x.gt(v.row),
  ge: () => v.i.ge(v.j),
  logical_not: () => v.mask.logicalNot(),
  logical_and: () => v.mask.logicalAnd(v.x.gt(0)),
  logical_or: () => v.mask.logicalOr(v.x.gt(0)),
  masked_fill: () => v.x.maskedFill(v.mask, -7),
  masked_select: () => v.x.maskedSelect(v.mask),
  where: () => where(v.mask, v.x, v.y),
  "where number": () => where(v.mask, v.x, 0),
  sum: () => v.x.sum(),
  "sum int": () => v.i.sum(),
  "sum bool": () => v.mask.sum(),
  "sum dim": () => v.x.sum(1),
  "sum dims keepdim": () => v.batch.sum([0, 2], { keepdim: true }),
  "sum float64": () => v.x.sum(0, { dtype: "float64" }),
  mean: () => v.x.mean(),
  "mean dim": () => v.batch.mean(-1, { keepdim: true }),
  "mean int as float32": () => v.i.mean(undefined, { dtype: "float32" }),
  prod: () => v.y.prod(),
  max: () => v.x.max(),
  min: () => v.x.min(),
  amax: () => v.batch.amax([0, 1]),
  "amin keepdim": () => v.x.amin(1, true),
  argmax: () => v.x.argmax(),
  "argmax dim": () => v.x.argmax(1, true),
  "argmin dim": () => v.x.argmin(0),
  var: () => v.x.var(),
  "var dim": () => v.x.var(1, { correction: 0, keepdim: true }),
  all: () => v.mask.all(),
  any: () => v.mask.any(),
  cumsum: () => v.x.cumsum(1),
  logsumexp: () => v.x.logsumexp(1),
  norm: () => v.x.norm(),
  "norm 1 dim": () => v.x.norm(1, 0),
  topk: () => v.x.topk(2, 1),
  sort: () => v.x.sort(1, true),
  argsort: () => v.x.argsort(0),
  softmax: () => v.x.softmax(-1),
  "softmax float64": () => v.x.softmax(-1, { dtype: "float64" }),
  log_softmax: () => v.x.logSoftmax(0),
  matmul: () => v.x.matmul(v.m),
  "matmul vector": () => v.x.matmul(v.row),
  "matmul batch": () => v.batch.matmul(v.m),
  mm: () => v.x.mm(v.m),
  bmm: () => v.batch.bmm(v.other),
  dot: () => v.row.dot(v.row),
  view: () => v.x.view([2, -1]),
  reshape: () => v.x.t().reshape([6, 2]),
  permute: () => v.batch.permute([2, 0, 1]),
  transpose: () => v.batch.transpose(0, 2),
  t: () => v.x.t(),
  expand: () => v.row.expand([2, -1]),
  squeeze: () => v.x.at(null, { end: 1 }).squeeze(1),
  "squeeze all": () => v.x.at({ end: 1 }, { end: 1 }).squeeze(),
  unsqueeze: () => v.x.unsqueeze(1),
  flatten: () => v.batch.flatten(1),
  unflatten: () => v.x.unflatten(1, [2, 2]),
  repeat: () => v.row.repeat([2, 1]),
  repeat_interleave: () => v.x.repeatInterleave(2, 0),
  split: () => v.x.split(3, 1),
  "split sizes": () => v.x.split([1, 3], 1),
  chunk: () => v.x.chunk(2, 1),
  unbind: () => v.x.unbind(0),
  flip: () => v.x.flip([0, 1]),
  tril: () => v.x.tril(-1),
  triu: () => v.x.triu(),
  cat: () => cat([v.x, v.y], 1),
  stack: () => stack([v.x, v.y], 1),
  "at 1": () => v.x.at(1),
  "at -1 2": () => v.x.at(-1, 2),
  "at all 1:": () => v.x.at(null, { start: 1 }),
  "at ::2": () => v.x.at(null, { step: 2 }),
  "at :-1": () => v.x.at({ end: -1 }),
  "at 0 all 1": () => v.batch.at(0, null, 1),
  "at take": () => v.x.at(v.take),
  "at all take": () => v.x.at(null, v.take),
  "at mask": () => v.x.at(v.mask),
  "at 1 take": () => v.batch.at(1, v.take),
  "at take all 1": () => v.batch.transpose(0, 1).at(v.take, null, 1),
  narrow: () => v.x.narrow(1, 1, 2),
  index_select: () => v.x.indexSelect(0, v.take),
  gather: () => v.x.gather(1, v.column),
  scatter: () => v.x.scatter(1, v.column.at(null, { end: 1 }), v.y),
  nonzero: () => v.mask.nonzero(),
  "to float64": () => v.x.double(),
  "to bfloat16": () => v.x.bfloat16(),
  "to float16": () => v.x.half(),
  "to int64": () => v.x.mul(10).long(),
  "to bool": () => v.i.to("bool"),
  "to uint8": () => v.j.to({ dtype: "uint8" }),
  "float64 to float32": () => v.d.float(),
  linear: () => linear(v.batch, v.m.t(), ones([5])),
  embedding: () => embedding(v.x, v.take),
  rms_norm: () => rmsNorm(v.x, [4], v.row, 1e-6),
  cross_entropy: () => crossEntropy(v.x, tensor([1n, -100n, 3n])),
  attention: () => {
    const q = v.batch.unsqueeze(1);
    return scaledDotProductAttention(q, q, q, undefined, 0, true);
  },
  full: () => full([2, 2], 3),
  eye: () => eye(3),
  arange: () => arange(5),
  "arange step": () => arange(1, 2, 0.25),
  linspace: () => linspace(0, 1, 5),
  add_: () => v.x.clone().add_(v.y, { alpha: 2 }),
  sub_: () => v.x.clone().sub_(1),
  mul_: () => v.x.clone().mul_(v.y),
  div_: () => v.x.clone().div_(2),
  clamp_: () => v.x.clone().clamp_(0, 1),
  copy_: () => v.x.clone().copy_(v.d),
  masked_fill_: () => v.x.clone().maskedFill_(v.mask, 1),
};

/** Same shape, same dtype; whole numbers equal, others within a few units in the last place (processors differ). */
function expectSame(actual: Tensor, expected: Tensor): void {
  expect(actual.shape).toEqual(expected.shape);
  expect(actual.dtype).toBe(expected.dtype);
  const tolerance: Partial<Record<DType, number>> = {
    float32: 2e-6,
    float64: 1e-14,
    bfloat16: 8e-3,
    float16: 1e-3,
  };
  const bound = tolerance[actual.dtype];
  if (bound === undefined) expect(actual.tolist()).toEqual(expected.tolist());
  else {
    const close = actual.allclose(expected, { rtol: bound, atol: bound / 10 });
    if (!close) expect(actual.tolist()).toEqual(expected.tolist());
    expect(close).toBe(true);
  }
}

describe("values, dtypes and shapes, as in Python", () => {
  it.each(Object.keys(expressions))("%s", (name) => {
    const made = (expressions[name] as () => Tensor | readonly Tensor[])();
    if (made instanceof Tensor) expectSame(made, stored(`out.${name}`));
    else {
      expect(fixture.has(`out.${name}.${made.length}`)).toBe(false);
      for (const [index, item] of made.entries()) expectSame(item, stored(`out.${name}.${index}`));
    }
  });

  it("of every expression that Python wrote", () => {
    const written = [...fixture.keys()]
      .filter((name) => name.startsWith("out."))
      .map((name) => name.slice(4).replace(/\.\d+$/, ""));
    expect([...new Set(written)].sort()).toEqual(Object.keys(expressions).sort());
  });
});

describe("creation", () => {
  it("takes nested arrays: numbers as float32, booleans as bool, bigints as int64", () => {
    expect(
      tensor([
        [1, 2],
        [3, 4.5],
      ]),
    ).toMatchObject({ shape: [2, 2], dtype: "float32" });
    expect(tensor([true, false])).toMatchObject({ shape: [2], dtype: "bool" });
    expect(tensor([[1n], [2n]])).toMatchObject({ shape: [2, 1], dtype: "int64" });
    expect(tensor(7)).toMatchObject({ shape: [], dtype: "float32" });
    expect(tensor([])).toMatchObject({ shape: [0], dtype: "float32" });
    expect(tensor([[], []])).toMatchObject({ shape: [2, 0] });
    expect(tensor([[[1, 2]], [[3, 4]]]).tolist()).toEqual([[[1, 2]], [[3, 4]]]);
  });

  it("goes to an integer dtype without passing through float32", () => {
    expect(tensor([2 ** 53 - 1, 16_777_217], { dtype: "int64" }).toArray()).toEqual(
      BigInt64Array.of(9007199254740991n, 16777217n),
    );
    expect(tensor([0.1], { dtype: "float64" }).item()).toBe(0.1);
  });

  it("refuses what is no block of one type", () => {
    expect(() => tensor([[1, 2], [3]])).toThrow(ArgumentError);
    expect(() => tensor([[1], 2])).toThrow(/block/);
    expect(() => tensor([1, [2]])).toThrow(/block/);
    expect(() => tensor([1, true])).toThrow(/different types/);
    expect(() => tensor(new Float32Array(5), { shape: [2, 3] })).toThrow(/20 bytes.*need 24/);
    expect(() => tensor(new Uint16Array(2))).toThrow(/Uint16Array.*fromBytes/);
    expect(() => fromBytes(new Uint8Array(3), [2], "bfloat16")).toThrow(/3 bytes.*need 4/);
    expect(() => fromBytes(new Uint8Array(4), [-1], "float32")).toThrow(/negative/);
  });

  it("keeps the default dtype beside other options", () => {
    expect(full([2], 1, { device: "cpu" }).dtype).toBe("float32");
    expect(full([2], 1, { requiresGrad: true }).requiresGrad).toBe(true);
    expect(full([2], 1, { dtype: "int64" }).dtype).toBe("int64");
    expect(ops.full([2], 1).dtype).toBe("int64"); // PyTorch's own: the fill value's
  });

  it("makes leaves that require gradients", () => {
    for (const made of [zeros([2], { requiresGrad: true }), tensor([1, 2], { requiresGrad: true })]) {
      expect(made.requiresGrad).toBe(true);
      expect(made.isLeaf).toBe(true);
    }
    expect(tensor([1], { dtype: "bfloat16", requiresGrad: true }).isLeaf).toBe(true);
    expect(() => tensor([1n], { requiresGrad: true })).toThrow(TorchError);
  });

  it("makes tensors like others", () => {
    const like = tensor([[1, 2]], { dtype: "float64" });
    expect(zerosLike(like)).toMatchObject({ shape: [1, 2], dtype: "float64" });
    expect(onesLike(like, { dtype: "int32" }).toArray()).toEqual(Int32Array.of(1, 1));
    expect(fullLike(like, 2.5).tolist()).toEqual([[2.5, 2.5]]);
  });
});

describe("typed arrays", () => {
  const arrays = [
    ["float32", Float32Array.of(1.5, -0, Number.NaN, Infinity, 1e-45)],
    ["float64", Float64Array.of(Math.PI, -0, 5e-324)],
    ["int64", BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n))],
    ["int32", Int32Array.of(2 ** 31 - 1, -(2 ** 31))],
    ["int16", Int16Array.of(-32768, 32767)],
    ["int8", Int8Array.of(-128, 127)],
    ["uint8", Uint8Array.of(0, 255)],
  ] as const;

  it.each(arrays)("%s goes in and comes out bit for bit", (dtype, array) => {
    const made = tensor(array);
    expect(made.dtype).toBe(dtype);
    expect(made.toArray()).toStrictEqual(array);
    expect(new Uint8Array(made.toBytes())).toEqual(new Uint8Array(array.buffer));
  });

  it("a part of a buffer is read from its offset", () => {
    const whole = Int32Array.of(1, 2, 3, 4);
    expect(tensor(whole.subarray(1, 3)).toArray()).toEqual(Int32Array.of(2, 3));
    expect(tensor(Buffer.from("ab")).toArray()).toEqual(Uint8Array.of(97, 98));
  });

  it("the data is copied both ways", () => {
    const source = Float32Array.of(1, 2);
    const made = tensor(source);
    source[0] = 9;
    (made.toArray() as Float32Array)[1] = 9;
    expect(made.tolist()).toEqual([1, 2]);
  });

  it("bfloat16 and float16 travel as bits, and come out as float32", () => {
    const bfloat16 = fromBytes(Uint16Array.of(0x3f80, 0xc020, 0x7f80), [3], "bfloat16");
    expect(bfloat16.toArray()).toEqual(Float32Array.of(1, -2.5, Infinity));
    expect(new Uint16Array(bfloat16.toBytes())).toEqual(Uint16Array.of(0x3f80, 0xc020, 0x7f80));
    const float16 = fromBytes(Uint16Array.of(0x3c00, 0x3555), [1, 2], "float16");
    expect(float16.tolist()).toEqual([[1, 0.333251953125]]);
  });

  it("bool comes out as bytes and as booleans", () => {
    const made = tensor([[true], [false]]);
    expect(made.toArray()).toEqual(Uint8Array.of(1, 0));
    expect(made.tolist()).toEqual([[true], [false]]);
  });

  it("a view comes out in its own order", () => {
    expect(v.x.t().toArray()).toEqual(v.x.t().contiguous().toArray());
    expect(arange(6).view([2, 3]).t().tolist()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
  });

  it("item is a number; a bigint past 2^53", () => {
    expect(tensor([2.5]).item()).toBe(2.5);
    expect(tensor([true]).item()).toBe(1);
    expect(tensor([[7n]]).item()).toBe(7);
    expect(tensor([2n ** 60n]).item()).toBe(2n ** 60n);
    expect(tensor([1.5], { dtype: "bfloat16" }).item()).toBe(1.5);
    expect(() => zeros([2]).item()).toThrow(/one element.*2/);
  });

  it("sizes are as PyTorch's", () => {
    for (const dtype of [
      "float32",
      "float64",
      "bfloat16",
      "float16",
      "int64",
      "int32",
      "int16",
      "int8",
      "uint8",
      "bool",
    ] as const) {
      expect(zeros([3], { dtype }).toBytes().byteLength).toBe(3 * bytesPerElement(dtype));
    }
  });
});

describe("views", () => {
  it("share storage, copies do not", () => {
    const base = zeros([2, 3]);
    base.at(1, { start: 1 }).fill_(5);
    expect(base.tolist()).toEqual([
      [0, 0, 0],
      [0, 5, 5],
    ]);
    expect(base.view([6]).dataPointer).toBe(base.dataPointer);
    expect(base.clone().dataPointer).not.toBe(base.dataPointer);
    base.at(tensor([0n])).fill_(9);
    expect(base.at(0).tolist()).toEqual([0, 0, 0]);
  });

  it("know their strides, sizes and version", () => {
    const base = zeros([2, 3, 4]);
    expect(base.strides).toEqual([12, 4, 1]);
    expect(base.permute([2, 0, 1]).strides).toEqual([1, 12, 4]);
    expect(base).toMatchObject({ ndim: 3, device: "cpu", isFloatingPoint: true });
    expect(base.numel()).toBe(24);
    expect([base.size(0), base.size(-1)]).toEqual([2, 4]);
    expect(() => base.size(3)).toThrow(ArgumentError);
    expect(() => base.size(-4)).toThrow(ArgumentError);
    const before = base.version;
    base.add_(1);
    expect(base.version).toBe(before + 1);
    expect(Object.isFrozen(base.shape)).toBe(true);
  });

  it("in-place methods return the tensor itself", () => {
    const x = zeros([2]);
    expect(
      x
        .add_(1)
        .mul_(2)
        .sub_(1)
        .div_(1)
        .clamp_(0, 5)
        .fill_(3)
        .zero_()
        .copy_(ones([2])),
    ).toBe(x);
    expect(x.tolist()).toEqual([1, 1]);
  });

  it("equal and allclose compare as PyTorch's", () => {
    expect(zeros([2]).equal(zeros([2]))).toBe(true);
    expect(zeros([2]).equal(zeros([1]))).toBe(false);
    expect(tensor([1]).allclose(tensor([1.000005]))).toBe(true);
    expect(tensor([1]).allclose(tensor([1.000005]), { rtol: 1e-7 })).toBe(false);
    expect(tensor([Number.NaN]).allclose(tensor([Number.NaN]))).toBe(false);
    expect(tensor([Number.NaN]).allclose(tensor([Number.NaN]), { equalNan: true })).toBe(true);
  });
});

describe("gradients", () => {
  it("are Python's, through broadcasting, products, indexing and reuse", () => {
    const [x, m, row] = [v.x.clone(), v.m.clone(), v.row.clone()].map((leaf) => leaf.requiresGrad_()) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const h = x.mul(row).tanh();
    const loss = h.matmul(m).softmax(-1).at(null, { start: 1 }).pow(2).sum().add(h.at(v.take).mean());
    loss.backward();
    expectSame(loss.detach(), stored("grad.loss"));
    expectSame(x.grad as Tensor, stored("grad.x"));
    expectSame(m.grad as Tensor, stored("grad.m"));
    expectSame(row.grad as Tensor, stored("grad.row"));
  });

  it("of gradients, with createGraph", () => {
    const x = v.x.clone().requiresGrad_();
    const [first] = grad(x.pow(3).sum(), [x], undefined, { createGraph: true }) as [Tensor];
    const [second] = grad(first.sum(), [x]) as [Tensor];
    expectSame(second, stored("grad.second"));
    expect(x.grad).toBeUndefined();
  });

  it("add up until they are cleared, and can be set", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    x.mul(3).sum().backward();
    x.mul(3).sum().backward();
    expect(x.grad?.tolist()).toEqual([6, 6]);
    x.grad = undefined;
    expect(x.grad).toBeUndefined();
    x.grad = tensor([1, 1]);
    x.sum().backward();
    expect(x.grad?.tolist()).toEqual([2, 2]);
    expect(() => {
      x.grad = zeros([3]);
    }).toThrow(ArgumentError);
  });

  it("of outputs with more than one element need their own gradient", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    expect(() => x.mul(2).backward()).toThrow(
      /several elements needs its gradients; reduce it with sum\(\) or mean\(\)/,
    );
    x.mul(2).backward(tensor([1, 10]));
    expect(x.grad?.tolist()).toEqual([2, 20]);
    backward([x.mul(2), x.sum()], [tensor([1, 1]), undefined]);
    expect(x.grad?.tolist()).toEqual([5, 23]);
  });

  it("need the graph kept for a second pass", () => {
    const x = tensor([2], { requiresGrad: true });
    const y = x.pow(2);
    y.backward(undefined, { retainGraph: true });
    y.backward();
    expect(x.grad?.item()).toBe(8);
    expect(() => y.backward()).toThrow(
      /freed by an earlier backward pass; compute the loss again, or pass \{ retainGraph: true \}/,
    );
    expect(() => tensor([1]).sum().backward()).toThrow(/depends on nothing that requires a gradient/);
  });

  it("go to chosen inputs only, and unused inputs are named", () => {
    const [x, y] = [tensor([2], { requiresGrad: true }), tensor([3], { requiresGrad: true })];
    backward(x.mul(y), undefined, { inputs: [x] });
    expect([x.grad?.item(), y.grad]).toEqual([3, undefined]);
    expect(() => grad(x.mul(2), [y])).toThrow(/do not depend on one of the inputs; \{ allowUnused: true \}/);
    expect(grad(x.mul(2), [x, y], undefined, { allowUnused: true }).map((g) => g?.item())).toEqual([
      2,
      undefined,
    ]);
  });

  it("are not recorded under noGrad, nor after detach; enableGrad turns recording on again", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    expect(noGrad(() => x.mul(2)).requiresGrad).toBe(false);
    expect(noGrad(() => enableGrad(() => x.mul(2))).requiresGrad).toBe(true);
    expect(x.mul(2).requiresGrad).toBe(true);
    expect(x.mul(2).isLeaf).toBe(false);
    expect(x.detach().requiresGrad).toBe(false);
    expect(x.detach().dataPointer).toBe(x.dataPointer);
    expect(() =>
      noGrad(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(isGradEnabled()).toBe(true);
    expect(() => noGrad(async () => 1)).toThrow(TypeError);
    expect(isGradEnabled()).toBe(true);
  });

  it("guard leaves against in-place changes", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    expect(() => x.add_(1)).toThrow(
      /cannot be changed in place while autograd records; change it inside noGrad/,
    );
    noGrad(() => x.add_(1));
    expect(x.tolist()).toEqual([2, 3]);
    const y = x.exp();
    const z = y.mul(y);
    y.detach().add_(1);
    expect(() => z.sum().backward()).toThrow(/modified by an inplace operation/);
  });
});

describe("the meta device", () => {
  it("computes shapes and dtypes, never values", () => {
    const x = zeros([4, 1024], { device: "meta", dtype: "bfloat16" });
    const y = x
      .matmul(zeros([1024, 8], { device: "meta", dtype: "bfloat16" }))
      .softmax(-1, { dtype: "float32" });
    expect(y).toMatchObject({ shape: [4, 8], dtype: "float32", device: "meta" });
    expect(String(y)).toBe("Tensor [4, 8] float32 meta");
    expect(v.x.to("meta").device).toBe("meta");
    expect(v.x.to({ device: "meta", dtype: "float64" })).toMatchObject({ device: "meta", dtype: "float64" });
    expect(() => y.toArray()).toThrow(TorchError);
    expect(() => y.sum().item()).toThrow(TorchError);
    expect(() => y.add(v.row.at({ end: 1 }).expand([8]))).toThrow(TorchError);
  });
});

describe("print", () => {
  const printed = JSON.parse(
    readFileSync(new URL("../fixtures/torch/printed.json", import.meta.url), "utf8"),
  ) as { dtype: DType; shape: number[]; values: string[]; text: string }[];
  const numberOf = (text: string): number =>
    text.endsWith("inf") ? Number(text.replace("inf", "Infinity")) : Number(text);

  it.each(printed)("$dtype $shape as torch does", ({ dtype, shape, values, text }) => {
    const x = tensor(Float64Array.from(values, numberOf), { dtype }).reshape(shape);
    const between = text.includes("\n") ? "\n" : " ";
    expect(String(x)).toBe(`Tensor [${shape.join(", ")}] ${dtype}${between}${text}`);
  });

  const cases: [() => Tensor, string][] = [
    [() => tensor(2.5), "Tensor [] float32 2.5000"],
    [() => tensor([1, -2.25]), "Tensor [2] float32 [ 1.0000, -2.2500]"],
    [() => tensor([true, false]), "Tensor [2] bool [ true, false]"],
    [() => tensor([]), "Tensor [0] float32 []"],
    [
      () => tensor([0.5], { dtype: "bfloat16", requiresGrad: true }),
      "Tensor [1] bfloat16 requiresGrad [0.5000]",
    ],
    [() => arange(2000), "Tensor [2000] int64 [   0,    1,    2,  ..., 1997, 1998, 1999]"],
  ];
  it.each(cases)("%#", (make, text) => {
    expect(String(make())).toBe(text);
  });

  it("serves console.log, and survives a disposed tensor", () => {
    const x = tensor([1]);
    expect(inspect(x)).toBe("Tensor [1] float32 [1.]");
    expect(inspect({ x })).toBe("{ x: Tensor [1] float32 [1.] }");
    x.dispose();
    expect(String(x)).toBe("Tensor (disposed)");
  });
});

describe("an operator in place that changes the metadata", () => {
  it("is seen in the shape", () => {
    const x = zeros([1, 3]);
    expect(x.shape).toEqual([1, 3]);
    expect(call("aten::squeeze_", x)).toBe(x);
    expect(x.shape).toEqual([3]);
    call("aten::resize_", x, [5]);
    expect(x.numel()).toBe(5);
    expect(x.toArray()).toHaveLength(5);
  });
});

describe("extremes along a dimension", () => {
  it("come with their places", () => {
    const x = tensor([
      [3, 9, 1],
      [7, 2, 5],
    ]);
    expect(x.max(1).map((part) => part.tolist())).toEqual([
      [9, 7],
      [1, 0],
    ]);
    expect(x.min(0, true).map((part) => part.tolist())).toEqual([[[3, 2, 1]], [[0, 1, 0]]]);
    expect(x.max().item()).toBe(9);
  });
});

describe("errors", () => {
  function caught(body: () => unknown): TorchError {
    try {
      body();
    } catch (error) {
      expect(error).toBeInstanceOf(TorchError);
      return error as TorchError;
    }
    throw new Error("nothing was thrown");
  }

  it("name a dtype that no typed array holds", () => {
    const error = caught(() => (call("aten::complex", ones([2]), ones([2])) as Tensor).toArray());
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error.message).toContain("complex64");
  });

  it("name the operator and its operands", () => {
    const error = caught(() => zeros([2, 3]).mm(zeros([2, 3], { dtype: "float64" })));
    expect(error.message).toContain("aten::mm");
    expect(error.message).toContain("float32[2,3], float64[2,3]");
    expect(error.message).not.toMatch(/Exception raised from|frame #/);
    expect(caught(() => cat([zeros([2]), zeros([1, 2])])).message).toContain("float32[2], float32[1,2]");
  });

  it("have classes", () => {
    const gone = zeros([1]);
    gone.dispose();
    expect(caught(() => gone.add(1))).toBeInstanceOf(DisposedError);
    expect(caught(() => gone.add(1)).message).toMatch(/aten::add.Tensor.*'self'.*disposed/);
    expect(caught(() => zeros([1]).add(gone)).message).toMatch(/'other'/);
    expect(caught(() => gone.item())).toBeInstanceOf(DisposedError);
    expect(caught(() => gone.shape)).toBeInstanceOf(DisposedError);
    expect(caught(() => gone.backward())).toBeInstanceOf(DisposedError);
    expect(caught(() => zeros([2]).add("3" as unknown as number))).toBeInstanceOf(ArgumentError);
    expect(caught(() => zeros([2]).to("nowhere"))).toBeInstanceOf(ArgumentError);
    expect(caught(() => zeros([2]).to("nowhere")).message).toMatch(/nowhere.*cpu, cuda, cuda:0 or meta/);
    expect(caught(() => zeros([2]).at(2)).code).toBe("ERR_INDEX");
    expect(caught(() => zeros([2 ** 50])).code).toBe("ERR_OUT_OF_MEMORY");
  });
});

// The dispatcher: one operator for each kind of argument and of result, each kind's refusals, and what is said of a
// call that does not fit the schema. Expected values follow from PyTorch's documentation of each operator.
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  arange,
  call,
  createGenerator,
  DisposedError,
  ones,
  operators,
  schemaOf,
  Tensor,
  TorchError,
  tensor,
  zeros,
} from "../../lib/torch/index.js";

/** Calls an operator that returns one tensor. */
function one(name: string, ...args: unknown[]): Tensor {
  const result = call(name, ...args);
  expect(result).toBeInstanceOf(Tensor);
  return result as Tensor;
}

function list(name: string, ...args: unknown[]): Tensor[] {
  const result = call(name, ...args);
  expect(Array.isArray(result)).toBe(true);
  return result as Tensor[];
}

/** The one line that a call fails with. */
function refusal(name: string, ...args: unknown[]): string {
  try {
    call(name, ...args);
  } catch (error) {
    expect(error).toBeInstanceOf(ArgumentError);
    const { message } = error as Error;
    expect(message).toContain(name);
    expect(message).not.toContain("\n");
    return message;
  }
  throw new Error(`${name} was not refused`);
}

const x = tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const whole = tensor([1, 2, 3], { dtype: "int64" });

describe("arguments", () => {
  it("Tensor", () => {
    expect(one("aten::mm", x, x.t()).tolist()).toEqual([
      [14, 32],
      [32, 77],
    ]);
    expect(refusal("aten::relu", "x")).toMatch(/argument 'self' \(Tensor\) must be a Tensor or a number/);
    expect(refusal("aten::relu", null)).toMatch(/'self'/);
    expect(refusal("aten::mm", x, [x])).toMatch(/'mat2'/);
    expect(refusal("aten::mm", x, createGenerator(1))).toMatch(/'mat2'/);
  });

  it("a number where a Tensor is expected takes the other's dtype, as a wrapped number", () => {
    for (const dtype of ["float32", "bfloat16", "int32", "int64"] as const) {
      expect(one("aten::mul.Tensor", ones([2], { dtype }), 2).dtype).toBe(dtype);
    }
    expect(one("aten::mul.Tensor", whole, 2).toArray()).toEqual(BigInt64Array.of(2n, 4n, 6n));
    expect(one("aten::mul.Tensor", whole, 2.5).dtype).toBe("float32");
    expect(one("aten::mul.Tensor", ones([1], { dtype: "bfloat16" }), 0.1).dtype).toBe("bfloat16");
    expect(one("aten::add.Tensor", whole, 2n ** 60n).toArray()[0]).toBe(2n ** 60n + 1n);
    expect(one("aten::mul.Tensor", tensor([true]), true).dtype).toBe("bool");
    expect(one("aten::div.Tensor", 1, tensor([4])).item()).toBe(0.25);
    expect(Object.is(one("aten::mul.Tensor", tensor([1]), -0).item(), -0)).toBe(true);
  });

  it("Tensor?", () => {
    const bias = tensor([10, 20]);
    const weight = ones([2, 3]);
    expect(one("aten::linear", x, weight, bias).tolist()).toEqual([
      [16, 26],
      [25, 35],
    ]);
    for (const none of [undefined, null]) {
      expect(one("aten::linear", x, weight, none).tolist()).toEqual([
        [6, 6],
        [15, 15],
      ]);
    }
    expect(refusal("aten::linear", x, weight, "b")).toMatch(/'bias'/);
  });

  it("Tensor[]", () => {
    expect(one("aten::cat", [whole, whole], 0).shape).toEqual([6]);
    expect(refusal("aten::cat", whole)).toMatch(/'tensors' \(List\[Tensor\]\) must be an array/);
    expect(refusal("aten::cat", [whole, undefined])).toMatch(/'tensors'/);
    expect(() => call("aten::cat", [])).toThrow(TorchError);
  });

  it("Tensor?[]", () => {
    const columns = tensor([2n, 0n]);
    const expected = [
      [3, 1],
      [6, 4],
    ];
    for (const none of [undefined, null]) {
      expect(one("aten::index.Tensor", x, [none, columns]).tolist()).toEqual(expected);
    }
    expect(refusal("aten::index.Tensor", x, [1.5 as unknown, "a"])).toMatch(/'indices'/);
  });

  it("int", () => {
    expect(one("aten::select.int", x, 1, -1).tolist()).toEqual([3, 6]);
    expect(one("aten::select.int", x, 1n, 2n).tolist()).toEqual([3, 6]);
    for (const wrong of [1.5, Number.NaN, Infinity, "1", [1], 2n ** 70n]) {
      expect(refusal("aten::select.int", x, wrong, 0)).toMatch(/'dim' \(int\) must be an integer/);
    }
  });

  it("int?", () => {
    expect(one("aten::argmax", x, 1).tolist()).toEqual([2, 2]);
    expect(one("aten::argmax", x, null).tolist()).toBe(5);
    expect(one("aten::argmax", x).tolist()).toBe(5);
  });

  it("int[]", () => {
    expect(one("aten::permute", x, [1, 0]).shape).toEqual([3, 2]);
    expect(one("aten::permute", x, Int32Array.of(1, 0)).shape).toEqual([3, 2]);
    expect(refusal("aten::permute", x, 1)).toMatch(/'dims' \(List\[int\]\) must be an array/);
    expect(refusal("aten::permute", x, [1, 0.5])).toMatch(/'dims'/);
  });

  it("int[2], also from one number", () => {
    const image = arange(16).float().view([1, 1, 4, 4]);
    const pooled = [
      [
        [
          [5, 7],
          [13, 15],
        ],
      ],
    ]; // prettier-ignore
    expect(one("aten::max_pool2d", image, 2).tolist()).toEqual(pooled);
    expect(one("aten::max_pool2d", image, [2, 2], [2, 2]).tolist()).toEqual(pooled);
    expect(one("aten::max_pool2d", image, 2, { padding: [0, 1] }).shape).toEqual([1, 1, 2, 3]);
  });

  it("int[1]?, absent or one number", () => {
    expect(one("aten::sum.dim_IntList", x, null).item()).toBe(21);
    expect(one("aten::sum.dim_IntList", x, 0).tolist()).toEqual([5, 7, 9]);
    expect(one("aten::sum.dim_IntList", x, [0, 1], true).shape).toEqual([1, 1]);
  });

  it("SymInt and SymInt[]", () => {
    expect(schemaOf("aten::narrow").schema).toContain("SymInt length");
    expect(one("aten::narrow", x, 1, 1, 2).tolist()).toEqual([
      [2, 3],
      [5, 6],
    ]);
    expect(schemaOf("aten::view").schema).toContain("SymInt[] size");
    expect(one("aten::view", x, [3, -1]).shape).toEqual([3, 2]);
    expect(schemaOf("aten::slice.Tensor").schema).toContain("SymInt? end");
    expect(one("aten::slice.Tensor", x, 1, undefined, -1).shape).toEqual([2, 2]);
  });

  it("float and float?", () => {
    expect(one("aten::dropout", ones([4]), 1, true).tolist()).toEqual([0, 0, 0, 0]);
    expect(refusal("aten::dropout", ones([4]), "0.5", true)).toMatch(/'p' \(float\) must be a number/);
    expect(refusal("aten::dropout", ones([4]), true, true)).toMatch(/'p'/);
    const image = ones([1, 1, 2, 2]);
    expect(one("aten::upsample_nearest2d", image, [4, 4], 2, null).shape).toEqual([1, 1, 4, 4]);
  });

  it("float[]", () => {
    const edges = list("aten::_histogramdd_bin_edges", tensor([[0], [1]]), [2], { range: [0, 4] });
    expect(edges.map((edge) => edge.tolist())).toEqual([[0, 2, 4]]);
    expect(refusal("aten::_histogramdd_bin_edges", x, [2], { range: [0, "4"] })).toMatch(/'range'.*numbers/);
  });

  it("bool", () => {
    expect(one("aten::sum.dim_IntList", x, [1], true).shape).toEqual([2, 1]);
    for (const wrong of [1, 0, "true"]) {
      expect(refusal("aten::sum.dim_IntList", x, [1], wrong)).toMatch(
        /'keepdim' \(bool\) must be true or false/,
      );
    }
  });

  it("bool[3]", () => {
    const [image, kernel] = [ones([1, 1, 3, 3]), ones([1, 1, 2, 2])];
    const backward = (mask: unknown): (Tensor | undefined)[] =>
      list("aten::convolution_backward", ones([1, 1, 2, 2]), image, kernel, null, [1, 1], [0, 0], [1, 1], false, [0, 0], 1, mask); // biome-ignore format: one call
    const [input, weight, bias] = backward([false, true, true]);
    expect(input).toBeUndefined();
    expect(weight?.tolist()).toEqual([[[[4, 4], [4, 4]]]]); // biome-ignore format: a matrix
    expect(bias?.tolist()).toEqual([4]);
    expect(backward([true, false, false])[0]?.shape).toEqual([1, 1, 3, 3]);
    expect(refusal("aten::convolution_backward", image, image, kernel, null, [1, 1], [0, 0], [1, 1], false, [0, 0], 1, [1])) // biome-ignore format: one call
      .toMatch(/'output_mask'/);
  });

  it("Scalar: a whole number stays an integer", () => {
    expect(one("aten::mul.Scalar", whole, 2).dtype).toBe("int64");
    expect(one("aten::mul.Scalar", whole, 2.5).dtype).toBe("float32");
    expect(one("aten::full", [1], 3).dtype).toBe("int64");
    expect(one("aten::full", [1], 3.5).dtype).toBe("float32");
    expect(one("aten::full", [1], true).dtype).toBe("bool");
    expect(one("aten::full", [1], 2n ** 62n).toArray()).toEqual(BigInt64Array.of(2n ** 62n));
    expect(one("aten::arange", 3).toArray()).toEqual(BigInt64Array.of(0n, 1n, 2n));
    expect(refusal("aten::mul.Scalar", whole, "2")).toMatch(/'other' \(number\) must be a number/);
  });

  it("Scalar?", () => {
    expect(one("aten::clamp", whole, 2).tolist()).toEqual([2, 2, 3]);
    expect(one("aten::clamp", whole, null, 2).tolist()).toEqual([1, 2, 2]);
    expect(() => call("aten::clamp", whole)).toThrow(/At least one of 'min' or 'max'/);
  });

  it("Scalar[]", () => {
    const sums = list("aten::_foreach_add.ScalarList", [whole, x], [10, 0.5]);
    expect(sums[0]?.toArray()).toEqual(BigInt64Array.of(11n, 12n, 13n));
    expect(sums[1]?.tolist()).toEqual([
      [1.5, 2.5, 3.5],
      [4.5, 5.5, 6.5],
    ]);
    expect(refusal("aten::_foreach_add.ScalarList", [whole], ["1"])).toMatch(/'scalars'/);
  });

  it("str", () => {
    expect(one("aten::gelu", tensor([1]), { approximate: "tanh" }).item()).toBeCloseTo(0.841192, 6);
    expect(one("aten::gelu", tensor([1])).item()).toBeCloseTo(0.841345, 6);
    expect(one("aten::einsum", "ij,kj->ik", [x, x]).shape).toEqual([2, 2]);
    expect(refusal("aten::gelu", x, { approximate: 1 })).toMatch(/'approximate' \(str\) must be a string/);
  });

  it("ScalarType", () => {
    expect(one("aten::to.dtype", x, "float64").dtype).toBe("float64");
    expect(one("aten::sum", whole, { dtype: "float32" }).dtype).toBe("float32");
    expect(one("aten::zeros", [1], { dtype: "complex64" }).dtype).toBe("complex64");
    expect(refusal("aten::to.dtype", x, "float")).toMatch(/unknown dtype 'float'; known: float32/);
    expect(refusal("aten::to.dtype", x, 6)).toMatch(/'dtype'.*must be a string/);
  });

  it("Layout", () => {
    const sparse = one("aten::zeros", [2, 2], { layout: "sparse_coo" });
    expect(call("aten::_nnz", sparse)).toBe(0);
    expect(one("aten::zeros", [2, 2], { layout: "strided" }).toArray()).toHaveLength(4);
    expect(refusal("aten::zeros", [1], { layout: "dense" })).toMatch(/'layout'.*'strided'/);
  });

  it("MemoryFormat", () => {
    const image = zeros([1, 2, 3, 4]);
    expect(one("aten::clone", image, { memoryFormat: "channels_last" }).strides).toEqual([24, 1, 8, 2]);
    expect(one("aten::clone", image.transpose(2, 3), { memory_format: "contiguous" }).strides).toEqual([
      24, 12, 3, 1,
    ]);
    expect(refusal("aten::clone", x, { memoryFormat: "nhwc" })).toMatch(/'memory_format'.*'channels_last'/);
  });

  it("Device", () => {
    expect(one("aten::zeros", [2], { device: "meta" }).device).toBe("meta");
    expect(one("aten::to.device", x, "cpu", "float16")).toMatchObject({ device: "cpu", dtype: "float16" });
    expect(refusal("aten::zeros", [2], { device: "gpu" })).toMatch(/unknown device 'gpu'/);
  });

  it("Generator", () => {
    const draw = (): unknown =>
      one("aten::randperm.generator", 10, { generator: createGenerator(3) }).tolist();
    expect(draw()).toEqual(draw());
    expect(one("aten::normal_", zeros([2]), 0, 1, { generator: null }).shape).toEqual([2]);
    for (const wrong of [3, x, "cpu"]) {
      expect(refusal("aten::randperm.generator", 4, { generator: wrong })).toMatch(
        /'generator' must be a Generator/,
      );
    }
  });

  it.each([
    ["aten::set_.source_Storage", "source", "Storage"],
    ["aten::record_stream", "s", "Stream"],
    ["quantized::linear", "W_prepack", "__torch__.torch.classes.quantized.LinearPackedParamsBase"],
  ])("%s is refused by its argument's name and type", (name, argument, type) => {
    expect(refusal(name, ...[zeros([1]), 1, 1, 1].slice(0, schemaOf(name).parameters.length))).toBe(
      `${name}: argument '${argument}' has the type ${type}, which cannot be passed from JavaScript`,
    );
  });

  it("no operator takes a Dict", () => {
    const types = new Set(operators().flatMap((name) => schemaOf(name).parameters.map(({ type }) => type)));
    expect([...types].filter((type) => /dict/i.test(type))).toEqual([]);
    expect(types.size).toBeGreaterThan(30);
  });
});

describe("results", () => {
  it("a tuple of tensors", () => {
    const [values, indices, ...rest] = list("aten::max.dim", x, 1);
    expect([values?.tolist(), indices?.tolist(), rest]).toEqual([[3, 6], [2, 2], []]);
  });

  it("Tensor[]", () => {
    expect(list("aten::split.Tensor", x, 2, 1).map((part) => part.shape)).toEqual([
      [2, 2],
      [2, 1],
    ]);
    expect(list("aten::_foreach_neg", [x, whole])[1]?.tolist()).toEqual([-1, -2, -3]);
  });

  it("a tuple with a list inside", () => {
    const [counts, edges] = call("aten::histogramdd", tensor([[0], [1], [4]]), [2]) as [Tensor, Tensor[]];
    expect(counts.tolist()).toEqual([2, 1]);
    expect(edges.map((edge) => edge.tolist())).toEqual([[0, 2, 4]]);
  });

  it("numbers: int, SymInt, float, a tuple of both", () => {
    expect(call("aten::stride.int", x, 0)).toBe(3);
    expect(call("aten::sym_size.int", x, -1)).toBe(3);
    // [-1, 1.55] over 0..255: a step of 0.01, and 0 at 100
    const [scale, zeroPoint] = call("aten::_choose_qparams_per_tensor", tensor([-1, 1.55])) as [
      number,
      number,
    ];
    expect(scale).toBeCloseTo(0.01, 6);
    expect(zeroPoint).toBe(100);
  });

  it("Scalar", () => {
    expect(call("aten::item", tensor([2.5]))).toBe(2.5);
    expect(call("aten::item", tensor([7n]))).toBe(7);
    expect(call("aten::item", tensor([true]))).toBe(true);
    expect(call("aten::item", tensor([2n ** 60n]))).toBe(2n ** 60n);
  });

  it("bool", () => {
    expect(call("aten::is_same_size", x, x)).toBe(true);
    expect(call("aten::equal", x, whole)).toBe(false);
  });

  it("nothing", () => {
    const target = zeros([2]);
    expect(call("aten::_foreach_add_.Scalar", [target], 3)).toBeUndefined();
    expect(target.tolist()).toEqual([3, 3]);
  });

  it("an in-place operator returns the very tensor that it changed", () => {
    const target = zeros([2]);
    expect(schemaOf("aten::add_.Tensor").alias).toBe(0);
    expect(call("aten::add_.Tensor", target, 1)).toBe(target);
    expect(target.tolist()).toEqual([1, 1]);
    const resized = zeros([2]);
    expect(call("aten::unsqueeze_", resized, 0)).toBe(resized);
  });

  it("out= returns the very tensor that was given", () => {
    const out = zeros([2, 3]);
    expect(schemaOf("aten::add.out").alias).toBe(3);
    expect(call("aten::add.out", x, x, { out })).toBe(out);
    expect(out.tolist()).toEqual(x.mul(2).tolist());
  });

  it("several out= fill the tensors that were given", () => {
    const [max, maxValues] = [zeros([2]), zeros([2], { dtype: "int64" })];
    const results = list("aten::max.dim_max", x, 1, { max, maxValues });
    expect([max.tolist(), maxValues.tolist()]).toEqual([
      [3, 6],
      [2, 2],
    ]);
    expect(results.map((result) => result.dataPointer)).toEqual([max.dataPointer, maxValues.dataPointer]);
  });

  it("a view is a new tensor over the same storage", () => {
    const view = one("aten::view", x, [6]);
    expect(view).not.toBe(x);
    expect(view.dataPointer).toBe(x.dataPointer);
  });

  it("an object of libtorch's own is refused by its kind", () => {
    expect(refusal("profiler::_record_function_enter_new", "a name", null)).toMatch(
      /the result has the type Object, which cannot be passed to JavaScript/,
    );
  });
});

describe("calls that do not fit", () => {
  it("an unknown operator, an unknown overload, a name of another shape", () => {
    const thrown = (name: string): TorchError => {
      try {
        call(name);
      } catch (error) {
        return error as TorchError;
      }
      throw new Error("nothing was thrown");
    };
    const unknown = thrown("aten::no_such_thing");
    expect(unknown).toBeInstanceOf(TorchError);
    expect(unknown.code).toBe("ERR_UNKNOWN_OPERATOR");
    expect(unknown.message).toBe(
      "libtorch has no operator aten::no_such_thing (operators are named like aten::add.Tensor)",
    );
    expect(thrown("aten::add.Nope").message).toMatch(
      /no operator aten::add\.Nope; it has .*aten::add\.Scalar, .*aten::add\.Tensor|aten::add\.Tensor, .*aten::add\.Scalar/,
    );
    expect(thrown("add").message).toMatch(/named like aten::add\.Tensor/);
    expect(thrown("").code).toBe("ERR_UNKNOWN_OPERATOR");
  });

  it("a missing argument is named, with its type", () => {
    expect(refusal("aten::mm", x)).toBe("aten::mm: argument 'mat2' (Tensor) is missing");
    expect(refusal("aten::mm")).toBe("aten::mm: argument 'self' (Tensor) is missing");
    expect(refusal("aten::view", x)).toBe("aten::view: argument 'size' (List[int]) is missing");
    expect(refusal("aten::mm", x, undefined)).toContain("is missing");
  });

  it("too many are counted", () => {
    expect(refusal("aten::relu", x, 1)).toBe("aten::relu: takes 1 arguments, got 2");
    expect(() => call("aten::relu", ...Array(50).fill(x))).toThrow(ArgumentError);
  });

  it("an unknown keyword is named beside the known ones", () => {
    expect(refusal("aten::sum.dim_IntList", x, [0], { keepDims: true })).toBe(
      "aten::sum.dim_IntList: no argument is called 'keepDims'; it takes self, dim, keepdim, dtype",
    );
  });

  it("an argument given twice is named", () => {
    expect(refusal("aten::sum.dim_IntList", x, [0], { dim: [1] })).toBe(
      "aten::sum.dim_IntList: argument 'dim' was given twice",
    );
  });

  it("keywords go in camelCase or as the schema spells them, in any order", () => {
    const q = ones([1, 2, 4, 8]);
    const attend = (options: object): unknown => call("aten::scaled_dot_product_attention", q, q, q, options);
    expect((attend({ enable_gqa: true, isCausal: true }) as Tensor).shape).toEqual([1, 2, 4, 8]);
    expect((attend({ is_causal: true, enableGqa: true }) as Tensor).shape).toEqual([1, 2, 4, 8]);
    expect(one("aten::add.Tensor", { other: 1, alpha: 2, self: whole }).tolist()).toEqual([3, 4, 5]);
  });

  it("a disposed tensor is named by its argument", () => {
    const gone = zeros([1]);
    gone.dispose();
    expect(() => call("aten::cat", [x, gone])).toThrow(DisposedError);
    expect(() => call("aten::cat", [x, gone])).toThrow(
      /aten::cat: argument 'tensors' was used after it was disposed/,
    );
  });

  it("a failing operator changes nothing: the next call works", () => {
    expect(() => call("aten::mm", x, x)).toThrow(
      /2x3 and 2x3.*aten::mm \(operands: float32\[2,3\], float32\[2,3\]\)/,
    );
    expect(one("aten::mm", x, x.t()).shape).toEqual([2, 2]);
  });
});

it("every operator of this libtorch can be described", () => {
  const names = operators();
  expect(names.length).toBeGreaterThan(3000);
  expect(names).toEqual([...names].sort());
  for (const name of names) expect(schemaOf(name).schema.startsWith(name)).toBe(true);
});

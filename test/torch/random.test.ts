// Random numbers, bit for bit those of Python's torch after the same seeds.
// The draws come from test/fixtures/torch/make.py, in its order.
import { expect, it } from "vitest";
import {
  arange,
  createGenerator,
  dropout,
  empty,
  getRngState,
  loadSafetensors,
  manualSeed,
  ones,
  ops,
  rand,
  randint,
  randn,
  randperm,
  setRngState,
  type Tensor,
  zeros,
} from "../../lib/torch/index.js";

const fixture = loadSafetensors(new URL("../fixtures/torch/random.safetensors", import.meta.url).pathname);

function expectDraw(name: string, drawn: Tensor): void {
  const expected = fixture.get(name) as Tensor;
  expect([name, drawn.dtype, ...drawn.shape]).toEqual([name, expected.dtype, ...expected.shape]);
  expect(Buffer.from(drawn.toBytes()).equals(Buffer.from(expected.toBytes())), name).toBe(true);
}

it("the default generator draws what Python's draws", () => {
  manualSeed(1234);
  expectDraw("randn", randn([3, 5]));
  expectDraw("randn large", randn([40]));
  expectDraw("randn float64", randn([7], { dtype: "float64" }));
  expectDraw("randn bfloat16", randn([20], { dtype: "bfloat16" }));
  expectDraw("rand", rand([9]));
  expectDraw("randint", randint(-5, 1000, [11]));
  expectDraw("randperm", randperm(50));
  expectDraw("normal_", empty([33]).normal_(2, 3));
  expectDraw("uniform_", empty([12]).uniform_(-2, 5));
  expectDraw("bernoulli_", ops.bernoulli_(empty([25]), 0.3));
  const weights = arange(1, 9).float();
  expectDraw("multinomial", ops.multinomial(weights, 5));
  expectDraw("multinomial replacement", ops.multinomial(weights, 12, true));
  expectDraw("dropout", dropout(ones([40]), 0.25, true));
  expectDraw("state", getRngState());
  expectDraw("after", randn([6]));
});

it("a state saved in Python goes on here, and one saved here goes on later", () => {
  setRngState((fixture.get("state") as Tensor).clone());
  expectDraw("after", randn([6]));
  const state = getRngState();
  const first = randn([20]);
  randperm(5);
  setRngState(state);
  expect(randn([20]).equal(first)).toBe(true);
  expect(() => setRngState(zeros([3], { dtype: "uint8" }))).toThrow(/RNG state/);
});

it("seeds of 63 bits are taken whole", () => {
  manualSeed(2n ** 63n - 1n);
  expectDraw("large seed", rand([4]));
  expect(() => manualSeed(1.5)).toThrow(/integer/);
});

it("a separate generator draws what Python's draws, apart from the default one", () => {
  manualSeed(1);
  const before = getRngState();
  const generator = createGenerator(7);
  expectDraw("generator randperm", randperm(20, { generator }));
  expectDraw("generator randn", randn([17], { generator }));
  expectDraw("generator normal_", ops.normal_(empty([5]), 0, 2, { generator }));
  expectDraw("generator multinomial", ops.multinomial(arange(1, 9).float(), 3, false, { generator }));
  expect(getRngState().equal(before)).toBe(true);
  const state = getRngState(generator);
  const next = rand([3], { generator });
  setRngState(state, generator);
  expect(rand([3], { generator }).equal(next)).toBe(true);
});

// One mode of products in a separate process: `node bench/programs/products_mode.mjs '{"shapes": [...], "rounds": 5}'`; the last
// line is JSON. Products of a frozen bf16 weight, forward and input's gradient, beside this machine's float32 products
// in interleaved pairs, and their error beside that of bf16 itself: a float32 result that is rounded to bf16 once.
import { call, manualSeed, noGrad, randn, scope, setNumThreads } from "../../dist/index.js";

const options = { tokens: 1024, rounds: 5, slow: 0.5, ...JSON.parse(process.argv[2]) };
if (options.threads !== undefined) setNumThreads(options.threads);
/** Rows whose errors are taken: float64 is slow, and every row is alike. */
const ERROR_ROWS = 64;
/** Some channels are much larger than the others: what activations of a trained model are like. */
const OUTLIERS = { every: 128, factor: 30 };

const forward = (x, weight) => call("qwen_pt::product", x, weight, true, options.mode);
const gradient = (dOut, weight) => call("qwen_pt::product", dOut, weight, false, options.mode);

/** Seconds of one call; its results are freed within. */
function seconds(body) {
  const start = performance.now();
  scope(body);
  return (performance.now() - start) / 1000;
}

function inputs(rows, { inner, outer }) {
  return scope(() => {
    const x = randn([rows, inner]);
    const seed = randn([rows, outer]);
    return { x: x.to("bfloat16"), seed: seed.to("bfloat16") };
  });
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Fewer rows where a mode is so slow that all of them would take minutes; a multiple of 8. */
function affordableRows(rows, shape, weight) {
  const probe = inputs(8, shape);
  const took = seconds(() => noGrad(() => void forward(probe.x, weight)));
  const back = seconds(() => noGrad(() => void gradient(probe.seed, weight)));
  for (const each of Object.values(probe)) each.dispose();
  const most = Math.floor((8 * options.slow) / Math.max(took, back) / 8) * 8;
  return Math.max(8, Math.min(rows, most));
}

/** The two rates in GFLOP/s, the medians of the pairs' ratios. */
function rates(shape, weight) {
  const all = shape.rows ?? options.tokens;
  const rows = affordableRows(all, shape, weight);
  const { x, seed } = inputs(rows, shape);
  const float32 = inputs(all, shape);
  const wide = scope(() => ({ x: float32.x.float(), seed: float32.seed.float(), weight: weight.float() }));
  const work = (count) => 2 * count * shape.inner * shape.outer;
  const rate = (count, time) => work(count) / time / 1e9;
  const found = { forward: [], gradient: [], forward32: [], gradient32: [] };
  for (let round = -1; round < options.rounds; round++) {
    const times = {
      forward32: seconds(() => noGrad(() => void call("aten::mm", wide.x, wide.weight.t()))),
      forward: seconds(() => noGrad(() => void forward(x, weight))),
      gradient32: seconds(() => noGrad(() => void call("aten::mm", wide.seed, wide.weight))),
      gradient: seconds(() => noGrad(() => void gradient(seed, weight))),
    };
    if (round < 0) continue; // the first round warms up
    for (const [name, time] of Object.entries(times))
      found[name].push(rate(name.endsWith("32") ? all : rows, time));
  }
  for (const each of [x, seed, float32.x, float32.seed, ...Object.values(wide)]) each.dispose();
  const ratio = (name) => median(found[name].map((value, at) => value / found[`${name}32`][at]));
  return {
    rows,
    forward: { rate: median(found.forward), float32: median(found.forward32), ratio: ratio("forward") },
    gradient: { rate: median(found.gradient), float32: median(found.gradient32), ratio: ratio("gradient") },
  };
}

/** |is - should| / |should|, Frobenius norms in float64. */
const apart = (is, should) => is.double().sub(should).norm().div(should.norm()).item();

/** Relative errors against float64 of a product and of bf16 itself. */
function errors(shape, weight, spread, affordable) {
  return scope(() => {
    const rows = Math.min(ERROR_ROWS, affordable);
    const given = randn([rows, shape.inner]);
    for (let channel = 0; channel < (spread ? shape.inner : 0); channel += OUTLIERS.every)
      given.select(1, channel).mul_(OUTLIERS.factor);
    const x = given.to("bfloat16");
    const seed = randn([rows, shape.outer]).to("bfloat16");
    return noGrad(() => {
      const compare = (is, a, b) => {
        const exact = call("aten::mm", a.double(), b.double());
        const once = call("aten::mm", a.float(), b.float()).to("bfloat16");
        const [error, bf16] = [apart(is, exact), apart(once, exact)];
        // rounding to bf16 and what the product itself loses are independent: their squares add
        return { error, bf16, added: Math.sqrt(Math.max(0, error ** 2 - bf16 ** 2)) };
      };
      return {
        forward: compare(forward(x, weight), x, weight.t()),
        gradient: compare(gradient(seed, weight), seed, weight),
      };
    });
  });
}

manualSeed(42);
const found = options.shapes.map((shape) => {
  const weight = scope(() => randn([shape.outer, shape.inner]).mul(0.02).to("bfloat16"));
  const measured = rates(shape, weight);
  const one = {
    name: shape.name,
    ...measured,
    errors: errors(shape, weight, false, measured.rows),
    errorsWithOutliers: errors(shape, weight, true, measured.rows),
  };
  weight.dispose();
  return one;
});
console.log(JSON.stringify(found));

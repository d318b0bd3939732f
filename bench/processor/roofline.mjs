// What the machine's matrix products allow, and the share of it that training reaches: (the step's products at their
// measured rates + attention alone) / the step, LoRA, bfloat16, 1,024 tokens, nothing computed twice. Products, attention
// and whole micro-steps are measured in turn, in one process. And attention beside libtorch's own, by length. The products
// are libtorch's: of bfloat16 where the processor multiplies it, of float32 elsewhere. With --base the frozen layers are in
// fewer bits, and the layers' products are their own: the head's stay libtorch's.
//   node bench/processor/roofline.mjs [--quick] [--base nf4|fp4|8bit|int8]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { multipliesBf16, processorHere } from "../harness/processor.mjs";
import { ensureModel, median, root, table } from "../harness/subject.mjs";

const TOKENS = 1024;

/** What --base names: how the frozen layers are kept (lib/models/files/quantization.ts). */
const FORM = { skipped: [], from: "bfloat16" };
const BASES = {
  nf4: { type: "nf4", nested: true, run: 64, ...FORM },
  fp4: { type: "fp4", nested: true, run: 64, ...FORM },
  "8bit": { type: "int8", threshold: 6, ...FORM },
  int8: { type: "int8 products", ...FORM },
};

/** Where a product's layer is in a block. */
const PATHS = {
  q: ["self_attn", "q_proj"],
  "k, v": ["self_attn", "k_proj"],
  o: ["self_attn", "o_proj"],
  "gate, up": ["mlp", "gate_proj"],
  down: ["mlp", "down_proj"],
};

/** Layers' products [in, out] with how many there are, and the head. */
function productsOf({ hidden_size: d, num_attention_heads, num_key_value_heads, head_dim, ...config }) {
  const [q, kv, ffn] = [
    num_attention_heads * head_dim,
    num_key_value_heads * head_dim,
    config.intermediate_size,
  ];
  const layers = config.num_hidden_layers;
  return [
    { name: "q", inner: d, outer: q, count: layers },
    { name: "k, v", inner: d, outer: kv, count: 2 * layers },
    { name: "o", inner: q, outer: d, count: layers },
    { name: "gate, up", inner: d, outer: ffn, count: 2 * layers },
    { name: "down", inner: ffn, outer: d, count: layers },
    { name: "head", inner: d, outer: config.vocab_size, count: 1, rows: 220 },
  ];
}

/** Seconds of one call, the least of some rounds. */
function timed(rounds, body) {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    body();
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}

/**
 * @param {{folder: string, processor: string, quick?: boolean, base?: string}} options `quick`: fewer rounds, attention
 *   up to 2,048 tokens; `base`: of BASES
 */
export async function run({ folder, processor, quick = false, base }) {
  const torch = { ...(await import("../../dist/index.js")), ...(await import("../../dist/public/nn.js")) };
  const { readModelConfig } = await import("../../dist/models/index.js");
  const { addLora, autocast, backward, call, causalAttention, loadModel, microStep, noGrad, randn, scope } =
    torch;
  const directory = ensureModel(folder, await ensureReference());
  const model = loadModel(directory, { ...readModelConfig(directory), quantization: BASES[base] });
  addLora(model, { rank: 8 });
  model.train();
  const { config } = model;
  const rounds = quick ? 3 : 6;
  const bf16 = (...shape) => scope(() => randn(shape).to("bfloat16"));
  const dtype = multipliesBf16(processor) ? "bfloat16" : "float32";
  const factor = (...shape) => scope(() => randn(shape).to(dtype));
  const ids = new Int32Array(TOKENS).map((_, i) => (i * 7919) % 150_000);
  const batch = { inputIds: ids, labels: ids, attentionMask: undefined, batch: 1, length: TOKENS };
  const step = { device: "cpu", compute: "bfloat16", checkpointing: false, scale: 1 / TOKENS };
  const attention = (tokens, attend) => {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim } = config;
    const [q, k, v] = [heads, kvHeads, kvHeads].map((count) => bf16(1, tokens, count, head_dim));
    const seed = bf16(1, tokens, heads, head_dim);
    const pass = () =>
      scope(() => {
        const leaves = [q, k, v].map((x) => x.detach().requiresGrad_());
        backward(attend(...leaves), seed);
      });
    pass();
    const seconds = timed(rounds, pass);
    for (const each of [q, k, v, seed]) each.dispose();
    return seconds;
  };
  const products = productsOf(config);
  /** Seconds of a frozen layer's product forward, and of its input's gradient. */
  const ownProducts = (name, x, y) => {
    const [part, field] = PATHS[name];
    const layer = model.layers[1][part][field].base_layer;
    const forward = timed(rounds, () => scope(() => noGrad(() => void layer.forward(x))));
    const both = timed(rounds, () => scope(() => backward(layer.forward(x.detach().requiresGrad_()), y)));
    return [forward, both - forward];
  };
  const libtorchProducts = (x, w, y) => [
    timed(rounds, () => scope(() => noGrad(() => void call("aten::mm", x, w.t())))),
    timed(rounds, () => scope(() => noGrad(() => void call("aten::mm", y, w)))),
  ];
  const turns = [];
  for (let turn = 0; turn < (quick ? 1 : 3); turn++) {
    process.stderr.write(`roofline: turn ${turn + 1}\n`);
    const rates = {};
    let seconds = 0;
    for (const { name, inner, outer, count, rows = TOKENS } of products) {
      const isOwn = base !== undefined && PATHS[name] !== undefined;
      const made = isOwn ? bf16 : factor;
      const [x, w, y] = [made(rows, inner), made(outer, inner), made(rows, outer)];
      const [forward, back] = isOwn ? ownProducts(name, x, y) : libtorchProducts(x, w, y);
      for (const each of [x, w, y]) each.dispose();
      rates[name] = (4 * rows * inner * outer) / (forward + back) / 1e9;
      seconds += count * (forward + back) * (TOKENS / rows);
    }
    const attending = config.num_hidden_layers * attention(TOKENS, causalAttention);
    const whole = timed(2, () => {
      microStep(model, batch, step);
      for (const parameter of model.parameters()) parameter.grad = undefined;
    });
    turns.push({
      rates,
      products: seconds,
      attention: attending,
      step: whole,
      share: (seconds + attending) / whole,
    });
  }
  const share = median(turns.map((turn) => turn.share));
  // one turn's figures, so that they belong together
  const middle = turns.find((turn) => turn.share === share);
  const found = {
    dtype,
    base,
    rates: Object.fromEntries(
      products.map(({ name }) => [name, median(turns.map(({ rates }) => rates[name]))]),
    ),
    products: middle.products,
    attention: middle.attention,
    step: middle.step,
    share,
    attentionByLength: [],
  };
  for (const tokens of quick ? [1024, 2048] : [1024, 2048, 4096, 8192]) {
    const ours = attention(tokens, causalAttention);
    const theirs = attention(tokens, (...x) => call("qwen_pt::composite_causal_attention", ...x));
    found.attentionByLength.push({ tokens, ours, theirs, ratio: theirs / ours });
  }
  found.parts = blockParts({ model, autocast, backward, bf16, scope, noGrad, rounds });
  print(found);
  return found;
}

/** Where a block's time goes beside its products and attention: forward and backward of the whole block. */
function blockParts({ model, autocast, backward, bf16, scope, noGrad, rounds }) {
  const [hidden, seed] = [
    bf16(1, TOKENS, model.config.hidden_size),
    bf16(1, TOKENS, model.config.hidden_size),
  ];
  const rope = model.rope(TOKENS, hidden);
  const block = model.layers[1];
  const under = (body) => autocast("bfloat16", body, "cpu");
  const forward = timed(rounds, () =>
    scope(() => noGrad(() => void under(() => block.forward(hidden, rope)))),
  );
  const both = timed(rounds, () =>
    scope(() => {
      const leaf = hidden.detach().requiresGrad_();
      backward(
        under(() => block.forward(leaf, rope)),
        seed,
      );
    }),
  );
  for (const parameter of block.parameters()) parameter.grad = undefined;
  return { blockForward: forward, blockBoth: both };
}

function print({ dtype, base, rates, products, attention, step, share, attentionByLength, parts }) {
  table([
    [`${base === undefined ? dtype : `${base}'s`} products, forward and input's gradient`, "GFLOP/s"],
    ...Object.entries(rates).map(([name, rate]) => [name, rate.toFixed(0)]),
  ]);
  const percent = (seconds) => `${((100 * seconds) / step).toFixed(1)} %`;
  const blocks = 28 * parts.blockBoth;
  table([
    ["a micro-step of 1,024 tokens", `${step.toFixed(2)} s`, ""],
    ["products at their rates", `${products.toFixed(2)} s`, percent(products)],
    ["attention alone", `${attention.toFixed(2)} s`, percent(attention)],
    [
      "everything else",
      `${(step - products - attention).toFixed(2)} s`,
      percent(step - products - attention),
    ],
    ["of which the 28 blocks take in all", `${blocks.toFixed(2)} s`, percent(blocks)],
    ["share of the roofline", share.toFixed(3), ""],
  ]);
  table([
    ["attention, forward and backward, tokens", "ours", "libtorch's", "ratio"],
    ...attentionByLength.map(({ tokens, ours, theirs, ratio }) => [
      tokens.toLocaleString("en-US"),
      `${(1000 * ours).toFixed(0)} ms`,
      `${(1000 * theirs).toFixed(0)} ms`,
      ratio.toFixed(2),
    ]),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, base: { type: "string" } },
  });
  if (values.base !== undefined && BASES[values.base] === undefined) {
    console.error(`--base is one of ${Object.keys(BASES).join(", ")}, not ${values.base}`);
    process.exit(1);
  }
  await run({ folder: `${root}/.bench`, processor: await processorHere(), ...values });
}

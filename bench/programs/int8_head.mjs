// What a head in 8-bit integers would cost: its loss and its input's gradient against float64 over the embedded model and
// held-out text, in bf16, with the forward product in integers, and with both. Why `quantization_compute` leaves the head
// in 16 bits (docs/quantization.md).
//   node bench/programs/int8_head.mjs [ADAPTER]     ADAPTER: a folder, such as bench/fewer-bits/quality.mjs leaves
// Prints one line for each; then all as a line of JSON.
import path from "node:path";
import { openModel, readDatasetInfo, readDocuments } from "../../dist/index.js";
import { call, full, noGrad, tensor } from "../../dist/torch/index.js";
import { root, table } from "../harness/subject.mjs";

const TOKENS = 512;
const adapters = process.argv.slice(2);
const { model, tokenizer } = await openModel({
  model: path.join(root, "examples", "model"),
  adapters,
  device: "cpu",
});
const [entry] = readDatasetInfo(path.join(root, "examples", "data"), ["prose_heldout"]);
const ids = [];
for await (const text of readDocuments(entry)) {
  ids.push(...(await tokenizer.encode(text)));
  if (ids.length > TOKENS) break;
}

/** The final norm's output, bfloat16 [TOKENS, hidden]. */
function hiddenStates() {
  const inputs = tensor(BigInt64Array.from(ids.slice(0, TOKENS), BigInt), { shape: [1, TOKENS] });
  let hidden = model.embed(inputs);
  const rope = model.rope(TOKENS, hidden);
  for (const layer of model.layers) hidden = layer.forward(hidden, rope);
  return model.norm(hidden).reshape([TOKENS, -1]).to("bfloat16");
}

const found = noGrad(() => {
  const x = hiddenStates();
  const target = tensor(BigInt64Array.from(ids.slice(1, TOKENS + 1), BigInt)).unsqueeze(1);
  const w = model.headWeight.to("bfloat16");
  const [codes, ...state] = call("qwen_pt::quantize_int8", w);
  const number = (t) => Number(t.item());
  const lossOf = (logits) =>
    -number(call("aten::log_softmax.int", logits.double(), -1).gather(1, target).mean());
  const gradientOf = (logits) => {
    const softmax = call("aten::softmax.int", logits.double(), -1);
    return call("aten::scatter_add", softmax, 1, target, full([TOKENS, 1], -1, { dtype: "float64" }));
  };
  const exact = x.double().matmul(w.double().t());
  const loss = lossOf(exact);
  const reference = gradientOf(exact).matmul(w.double());
  const logits = { bf16: x.matmul(w.t()), int8: call("qwen_pt::product_int8", x, codes, state, true) };
  const back = {
    bf16: (d) => d.matmul(w),
    int8: (d) => call("qwen_pt::product_int8", d, codes, state, false),
  };
  const norm = (t) => Math.sqrt(number(t.square().sum()));
  return [
    ["bf16", "bf16"],
    ["int8", "bf16"],
    ["bf16", "int8"],
    ["int8", "int8"],
  ].map(([forward, gradient]) => {
    const d = back[gradient](gradientOf(logits[forward]).to("bfloat16")).double();
    return {
      forward,
      gradient,
      loss: lossOf(logits[forward]) / loss - 1,
      cosine: number(d.mul(reference).sum()) / (norm(d) * norm(reference)),
      error: norm(d.sub(reference)) / norm(reference),
    };
  });
});
table([
  ["the head's forward, gradient", "loss", "cosine of the input's gradient", "relative error"],
  ...found.map(({ forward, gradient, loss, cosine, error }) => [
    `${forward}, ${gradient}`,
    `${(100 * loss).toFixed(3)} %`,
    cosine.toFixed(5),
    error.toFixed(4),
  ]),
]);
console.log(JSON.stringify(found));

// Cosines of an adapter's gradients, layer by layer, between a model in float32 and the same in bf16 with its frozen layers
// as a recipe keeps them, over the embedded model and what `npm run bench -- quality` left of it.
//   node bench/programs/gradient_cosines.mjs ['{"exact": ..., "model": ..., "adapter": ..., "data": ...}']
// Prints for each way the cosine of all gradients and that of the layer that is worst; then all as a line of JSON.
import { existsSync } from "node:fs";
import path from "node:path";
import { openModel, readDatasetInfo, readDocuments } from "../../dist/index.js";
import { loadModel, readModelConfig } from "../../dist/models/index.js";
import { loadAdapter } from "../../dist/peft/index.js";
import { microStep } from "../../dist/step/index.js";
import { root, table } from "../harness/subject.mjs";

const bench = path.join(root, ".bench");
const { exact, model, adapter, data } = {
  exact: path.join(bench, "embedded-float32"),
  model: path.join(root, "examples", "model"),
  adapter: path.join(bench, "out-quality", "float32"),
  data: path.join(root, "examples", "data"),
  ...JSON.parse(process.argv[2] ?? "{}"),
};
for (const folder of [exact, adapter]) {
  if (existsSync(folder)) continue;
  console.error(`${folder} is not there: node bench/fewer-bits/quality.mjs --quick makes it`);
  process.exit(1);
}
const { tokenizer } = await openModel({ model, device: "cpu" });
const [entry] = readDatasetInfo(data, ["prose_heldout"]);
const ids = [];
for await (const text of readDocuments(entry)) {
  ids.push(...(await tokenizer.encode(text)));
  if (ids.length >= 512) break;
}
const inputIds = Int32Array.from(ids.slice(0, 512));
const batch = { inputIds, labels: inputIds, attentionMask: undefined, batch: 1, length: inputIds.length };

/** By layer, the gradients of its adapters, one after another. */
function gradients(folder, quantization, compute) {
  const made = loadModel(folder, { ...readModelConfig(folder), quantization });
  made.requiresGrad_(false);
  loadAdapter(made, adapter, { trainable: true });
  made.train();
  microStep(made, batch, { device: "cpu", compute, scale: 1 / inputIds.length, checkpointing: false });
  return made.layers.map((layer) =>
    [...layer.namedParameters()]
      .filter(([, { requiresGrad }]) => requiresGrad)
      .flatMap(([, { grad }]) => [...grad.float().toArray()]),
  );
}

function cosine(a, b) {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / Math.sqrt(aa * bb);
}

const reference = gradients(exact, undefined, undefined);
const where = { skipped: [], from: "bfloat16" };
const ways = {
  bf16: undefined,
  "8 bits": { type: "int8", threshold: 6, ...where },
  int8: { type: "int8 products", ...where },
  nf4: { type: "nf4", nested: true, run: 64, ...where },
};
const found = {};
for (const [name, quantization] of Object.entries(ways)) {
  const given = gradients(model, quantization, "bfloat16");
  found[name] = {
    layers: given.map((layer, i) => cosine(layer, reference[i])),
    all: cosine(given.flat(), reference.flat()),
  };
}
table([
  ["frozen layers", "all gradients", "worst layer"],
  ...Object.entries(found).map(([name, { all, layers }]) => [
    name,
    all.toFixed(5),
    Math.min(...layers).toFixed(5),
  ]),
]);
console.log(JSON.stringify(found));

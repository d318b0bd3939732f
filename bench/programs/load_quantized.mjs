// Loads a model with its frozen layers as a recipe keeps them, and says how long it took:
//   node bench/programs/load_quantized.mjs '{"model": ..., "type": "nf4"}'     type: nf4, fp4, int8, "int8 products" or null
// Prints one line of JSON: seconds, and bytes of the files, which lie in the system's cache from a first reading.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { loadModel, readModelConfig } from "../../dist/models/index.js";

const { model, type } = JSON.parse(process.argv[2]);
let bytes = 0;
for (const name of readdirSync(model).filter((each) => each.endsWith(".safetensors")))
  bytes += readFileSync(path.join(model, name)).length;
const form = { skipped: [], nested: true, run: 64, threshold: 6, type };
const config = readModelConfig(model);
const started = performance.now();
loadModel(model, type === null ? config : { ...config, quantization: form });
console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, bytes }));

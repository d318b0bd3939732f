// A copy of a model with its weights widened to float32, for what computes in float32 from the same numbers:
//   node bench/programs/float32_model.mjs MODEL
// `ensureFloat32(MODEL)` makes it beside MODEL in a separate process, so that the weights leave memory with it.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(import.meta.url);
const isWeights = (name) => name.endsWith(".safetensors") || name.endsWith(".index.json");

async function widen(model, target) {
  const { loadSafetensors, saveSafetensors } = await import("../../dist/public/torch.js");
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(model).filter((each) => each.endsWith(".json") && !isWeights(each)))
    copyFileSync(path.join(model, name), path.join(target, name));
  const config = JSON.parse(readFileSync(path.join(model, "config.json"), "utf8"));
  delete config.torch_dtype;
  writeFileSync(path.join(target, "config.json"), JSON.stringify({ ...config, dtype: "float32" }, null, 2));
  const weights = new Map();
  for (const name of readdirSync(model).filter((each) => each.endsWith(".safetensors")))
    for (const [key, tensor] of loadSafetensors(path.join(model, name))) weights.set(key, tensor.float());
  saveSafetensors(path.join(target, "model.safetensors"), weights);
}

/** The folder of the float32 copy, made where it is missing. */
export function ensureFloat32(model, target = `${model}-float32`) {
  if (existsSync(path.join(target, "model.safetensors"))) return target;
  const { status, stderr } = spawnSync(process.execPath, [program, model, target], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${model} could not be widened: ${stderr}`);
  return target;
}

if (process.argv[1] === program)
  await widen(process.argv[2], process.argv[3] ?? `${process.argv[2]}-float32`);

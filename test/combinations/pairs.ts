// What a row of the tables asks: a run equals itself when it is resumed in the middle, bit for bit. Not a test.
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { run, stopIn, weightsFile } from "../train/runs.js";
import { BASE } from "./methods.js";

/** Weights, optimizer and random state at the end. */
function outcome(dir: string): Record<string, string> {
  const last = path.join(dir, "checkpoint-4");
  const bytes = (file: string) => readFileSync(file).toString("base64");
  return {
    weights: bytes(weightsFile(dir)),
    optimizer: bytes(path.join(last, "optimizer.safetensors")),
    random: bytes(path.join(last, "rng_state.safetensors")),
    loop: bytes(path.join(last, "loop_state.json")),
  };
}

const known = new Map<string, Promise<string>>();
/** The weights that a recipe ends with; each recipe is run once. */
export function weightsOf(keys: RecipeInput): Promise<string> {
  const name = JSON.stringify(keys);
  let found = known.get(name);
  if (found === undefined) {
    found = run({ ...BASE, ...keys }).then(({ dir }) => outcome(dir).weights as string);
    known.set(name, found);
  }
  return found;
}

/** Runs a recipe whole; then to the middle, where it is interrupted, and on: all bytes are the same. */
export async function expectResumable(keys: RecipeInput): Promise<void> {
  const recipe = { ...BASE, ...keys };
  const whole = await run(recipe);
  const half = await run({ ...recipe, save_steps: 100 }, stopIn(3, 2));
  expect(half.result).toMatchObject({ interrupted: true, steps: 2 });
  const again = await run({ ...recipe, output_dir: half.dir, overwrite_output_dir: false });
  expect(again.result).toMatchObject({ interrupted: false, steps: 4 });
  const [ours, theirs] = [outcome(again.dir), outcome(whole.dir)];
  for (const part of Object.keys(theirs)) expect(ours[part] === theirs[part], part).toBe(true);
  known.set(JSON.stringify(keys), Promise.resolve(theirs.weights as string));
}

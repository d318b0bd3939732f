// What must be the same on every rank, in few words each: the recipe key by key, the blocks, the frozen weights, what
// multiplies. Only samples are read of what is large: this finds another file, not a flipped bit.
import { createHash } from "node:crypto";
import { type Recipe, withoutSecrets } from "../../config/index.js";
import type { TokenBlocks } from "../../data/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { productKinds, scope } from "../../torch/index.js";

/** Places that a recipe names may differ from machine to machine; what is in them is compared. */
const PLACES: readonly string[] = [
  "model_name_or_path",
  "dataset_dir",
  "cache_dir",
  "media_dir",
  "tokenized_path",
];
/** Blocks that are read, and numbers of each parameter. */
const SAMPLES = 64;

/** What {@link inputFacts} looks at. */
export interface Compared {
  readonly recipe: Recipe;
  readonly blocks: TokenBlocks;
  readonly model: CausalModel;
  /** The checkpoint that the run goes on from. */
  readonly resume: string | undefined;
}

/** What this rank was asked for, by the words that a message names it by: known before anything is read. */
export function recipeFacts(recipe: Recipe): Record<string, string> {
  const keys = Object.entries(withoutSecrets(recipe)).filter(([key]) => !PLACES.includes(key));
  return Object.fromEntries(keys.map(([key, value]) => [`the recipe's ${key}`, JSON.stringify(value)]));
}

/** What this rank has read and computes with, likewise. */
export function inputFacts({ recipe, blocks, model, resume }: Compared): Record<string, string> {
  return {
    "the data": `${blocks.length} blocks, ${hashOf(blockSamples(blocks, recipe.streaming ? 1 : SAMPLES))}`,
    "the model": hashOf(weightSamples(model)),
    "the checkpoint to resume": resume ?? "none",
    "what multiplies (the kernels)": JSON.stringify(productKinds()),
  };
}

/** What tells apart what differs, in a few letters. */
export function hashOf(parts: Iterable<string | Uint8Array>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 12);
}

/** Of a stream the first block alone is there. */
function* blockSamples(blocks: TokenBlocks, samples: number): Generator<Uint8Array> {
  const step = Math.max(1, Math.ceil(blocks.length / samples));
  for (let block = 0; block < blocks.length; block += step)
    yield new Uint8Array(Int32Array.from(blocks.get(block)).buffer);
}

/** Of frozen parameters alone: every rank gets rank 0's of the others. */
function* weightSamples(model: CausalModel): Generator<string | Uint8Array> {
  for (const [name, parameter] of model.namedParameters()) {
    yield `${name} ${parameter.dtype} ${parameter.shape}`;
    if (parameter.requiresGrad) continue;
    yield scope(() => {
      const flat = parameter.detach().flatten();
      return new Uint8Array(flat.narrow(0, 0, Math.min(SAMPLES, flat.numel())).toBytes());
    });
  }
}

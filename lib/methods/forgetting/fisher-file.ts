// Fisher information on the disk: a safetensors file whose metadata says of which model it is and how it was
// estimated. Values are mapped, not read: their pages belong to the file, and the system may drop and read them again.
import { createHash } from "node:crypto";
import { UserError } from "../../errors.js";
import { SafetensorsFile, saveSafetensors, scope, type Tensor } from "../../torch/index.js";
import type { Fisher } from "./fisher.js";

/** What a Fisher file was estimated from; what a recipe asks for. */
export interface FisherSettings {
  /** Of the model: `fingerprint`. */
  readonly model: string;
  /** Names of datasets, joined by commas. */
  readonly datasets: string;
  /** Blocks, or documents without packing, as asked for. */
  readonly samples: number;
  /** cutoff_len, and how documents become blocks. */
  readonly blocks: string;
}

const KIND = "qwen-pt diagonal empirical Fisher information";
const VERSION = "1";

/** Writes a file whole or not at all. */
export function saveFisher(file: string, { values, blocks, tokens }: Fisher, settings: FisherSettings): void {
  saveSafetensors(file, values, {
    format: "pt",
    kind: KIND,
    version: VERSION,
    model: settings.model,
    datasets: settings.datasets,
    samples: String(settings.samples),
    blocks: settings.blocks,
    blocks_read: String(blocks),
    tokens_read: String(tokens),
  });
}

/**
 * The values of the named weights, mapped. `wanted` is what the recipe says; what it leaves out may be anything.
 * @throws UserError where the file is not a Fisher file, is of another model, of other settings, or lacks a weight
 */
export function loadFisher(
  file: string,
  wanted: Partial<FisherSettings> & Pick<FisherSettings, "model">,
  names: Iterable<string>,
): Map<string, Tensor> {
  const opened = SafetensorsFile.open(file);
  const { metadata } = opened;
  const fail = (why: string): never => {
    throw new UserError(
      `ewc_fisher: ${file} ${why}; name another file, or remove this one to estimate it again`,
    );
  };
  if (metadata["kind"] !== KIND) fail("holds no Fisher information");
  if (metadata["version"] !== VERSION) fail(`is of version ${metadata["version"]}, not ${VERSION}`);
  if (metadata["model"] !== wanted.model) fail("is of another model");
  for (const [key, name] of [
    ["datasets", "ewc_dataset"],
    ["samples", "ewc_samples"],
    ["blocks", "the blocks"],
  ] as const) {
    const value = wanted[key];
    if (value !== undefined && String(value) !== metadata[key])
      fail(`was estimated with ${name} ${metadata[key]}, and the recipe says ${value}`);
  }
  const found = new Map<string, Tensor>();
  for (const name of names) {
    if (!opened.has(name)) fail(`lacks ${name}, which is trained now`);
    found.set(name, opened.tensor(name));
  }
  opened.close();
  return found;
}

/** Elements of a tensor that its fingerprint reads, at its beginning, middle and end. */
const READ = 512;

/**
 * Tells models apart: SHA-256 over every weight's name, shape, dtype and some of its values. It reads little of a mapped file.
 */
export function fingerprint(weights: ReadonlyMap<string, Tensor>): string {
  const hash = createHash("sha256");
  for (const name of [...weights.keys()].sort()) {
    const weight = weights.get(name) as Tensor;
    hash.update(`${name} ${weight.dtype} ${weight.shape.join()}\n`);
    scope(() => {
      const flat = weight.detach().flatten();
      const count = Math.min(READ, flat.size(0));
      for (const start of [0, (flat.size(0) - count) >> 1, flat.size(0) - count])
        hash.update(new Uint8Array(flat.narrow(0, start, count).to("cpu").contiguous().toBytes()));
    });
  }
  return hash.digest("hex");
}

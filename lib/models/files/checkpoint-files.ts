// Which safetensors file of a folder holds which tensor: a single file, or shards by their index.
// Not here: what the tensors mean (weights.ts).

import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../../errors.js";
import { readJsonFile } from "../../files/json-file.js";
import { insideFolder } from "../../files/outside-path.js";
import { object, shape, table } from "../../files/shape.js";
import type { Tensor } from "../../torch/index.js";
import { loadSafetensors } from "../../torch/index.js";

/** The file of a checkpoint that is not sharded. */
export const SINGLE = "model.safetensors";
/** The file that says which shard holds which tensor. */
export const INDEX = "model.safetensors.index.json";

/** A tensor as stored, a view of the mapped file. */
export interface StoredTensor {
  /** The file that it is in. */
  readonly file: string;
  /** On the file's own pages. */
  readonly tensor: Tensor;
}

/**
 * Every tensor of a checkpoint folder, memory-mapped: no bytes are read yet.
 * Throws UserError (one line, file and tensor) for a missing, malformed or contradictory file.
 */
export function openCheckpoint(dir: string): Map<string, StoredTensor> {
  const single = join(dir, SINGLE);
  const index = join(dir, INDEX);
  if (existsSync(single)) {
    return new Map([...loadSafetensors(single)].map(([name, tensor]) => [name, { file: single, tensor }]));
  }
  if (existsSync(index)) return openShards(dir, index);
  const pickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"].find((name) =>
    existsSync(join(dir, name)),
  );
  if (pickled !== undefined) {
    throw new UserError(
      `${join(dir, pickled)}: pickled weights are not read; save the model as safetensors with transformers`,
    );
  }
  throw new UserError(`${dir}: no ${SINGLE} and no ${INDEX}; get the weights of the model into this folder`);
}

function openShards(dir: string, index: string): Map<string, StoredTensor> {
  const map = readIndex(index);
  const shards = new Map<string, Map<string, Tensor>>();
  const files = new Map<string, string>();
  for (const shard of new Set(map.values())) {
    const file = insideFolder(dir, shard, index, rootOf(dir));
    if (!existsSync(file))
      throw new UserError(`${file}: missing; ${INDEX} names it. Download the folder again`);
    shards.set(shard, new Map(loadSafetensors(file)));
    files.set(shard, file);
  }
  const found = new Map<string, StoredTensor>();
  for (const [name, shard] of map) {
    const tensor = shards.get(shard)?.get(name);
    if (tensor === undefined)
      throw new UserError(`${files.get(shard)}: has no tensor "${name}", which ${INDEX} places there`);
    found.set(name, { file: files.get(shard) as string, tensor });
  }
  for (const [shard, tensors] of shards) {
    for (const name of tensors.keys()) {
      if (map.get(name) === shard) continue;
      const where = map.has(name) ? `places it in ${map.get(name)}` : "does not name it";
      throw new UserError(`${files.get(shard)}: holds the tensor "${name}", but ${INDEX} ${where}`);
    }
  }
  return found;
}

/** Links of a model's folder may lead anywhere for a user's own; those of a hub's cache into that repository alone. */
function rootOf(dir: string): string | null {
  const snapshots = dirname(resolve(dir));
  return basename(snapshots) === "snapshots" ? dirname(snapshots) : null;
}

/** A plain file name: no folder, no drive, no parent, in the manner of either operating system. */
const shard = shape<string>(
  "a safetensors file name",
  (value) => typeof value === "string" && /^[^/\\:]+\.safetensors$/.test(value) && !value.startsWith(".."),
);
const INDEX_SHAPE = object({ weight_map: table(shard) });

/** tensor name -> file name of the shard */
function readIndex(file: string): Map<string, string> {
  return new Map(Object.entries(readJsonFile(file, INDEX_SHAPE, { remedy: "download it again" }).weight_map));
}

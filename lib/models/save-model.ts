// A model of any family written as a Hugging Face folder: config.json, and the weights by their names in one file or in shards
// with an index. Either by one process that has all of it, or by several, each the shards that it has in memory.

import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../errors.js";
import { writeJson } from "../files/json.js";
import { makeFolder } from "../files/make-folder.js";
import type { DType, Tensor } from "../torch/index.js";
import { bytesPerElement, noGrad, saveSafetensors, scope } from "../torch/index.js";
import type { FamilyModel } from "./family.js";
import { INDEX, SINGLE } from "./files/checkpoint-files.js";

/** Options of {@link saveModel}. */
export interface SaveOptions {
  /** Cast to this; default: each tensor as it is. */
  dtype?: DType;
  /** Gigabytes (10^9 bytes) a file, at most; a larger tensor has its own file. Default 5. */
  maxShardGigabytes?: number;
}

type DTypeOf = (tensor: Tensor) => DType;
/** Names of a model's tensors by file. */
export type Shards = readonly (readonly string[])[];

/**
 * Writes config.json and the weights by their Hugging Face names, tied head left out: one file, or shards and
 * their index. A head that is no longer tied is written, and config.json says so.
 * Weights of an earlier run are replaced once all of the new ones are on the disk.
 * Throws UserError where the disk refuses; what was there before is then still there.
 */
export function saveModel(model: FamilyModel, dir: string, options: SaveOptions = {}): void {
  makeModelFolder(dir);
  const state = model.stateDict();
  const dtypeOf = savedDTypes(model, options.dtype);
  const shards = planShards(state, (options.maxShardGigabytes ?? 5) * 1e9, dtypeOf);
  const files = shards.map((_, at) => shardFile(at, shards.length));
  const temporary = (file: string): string => join(dir, `.${file}.${process.pid}.tmp`);
  for (const [at, names] of shards.entries()) {
    const file = files[at] as string;
    try {
      writeShard(state, names, temporary(file), dtypeOf);
    } catch (error) {
      for (const earlier of files.slice(0, at)) rmSync(temporary(earlier), { force: true });
      if (!(error instanceof UserError)) throw error;
      throw new UserError(error.message.replace(temporary(file), join(dir, file)), { cause: error });
    }
  }
  replaceWeights(
    dir,
    files.map((file) => [temporary(file), file]),
  );
  describeShards(model, dir, shards, dtypeOf);
}

/** The name of file `at` of `count`, as transformers has it. */
export function shardFile(at: number, count: number): string {
  const number = (value: number): string => String(value).padStart(5, "0");
  return count === 1 ? SINGLE : `model-${number(at + 1)}-of-${number(count)}.safetensors`;
}

/**
 * Writes one shard of a model, whose tensors are in memory now, whether or not others are.
 * @returns the file's name in `dir`
 * @throws UserError where the disk refuses
 */
export function saveShard(model: FamilyModel, dir: string, shards: Shards, at: number): string {
  const file = shardFile(at, shards.length);
  const names = shards[at] as readonly string[];
  writeShard(model.stateDict(), names, join(dir, file), savedDTypes(model));
  return file;
}

/**
 * Takes shards that {@link saveShard} wrote, wherever they were computed, from the folder `from` into `dir`, and writes
 * their index and config.json: no tensor is looked at.
 * @throws UserError where one is not there, or the disk refuses
 */
export function joinShards(model: FamilyModel, from: string, dir: string, shards: Shards): void {
  makeModelFolder(dir);
  const files = shards.map((_, at) => shardFile(at, shards.length));
  if (from !== dir)
    replaceWeights(
      dir,
      files.map((file) => [join(from, file), file]),
    );
  describeShards(model, dir, shards, savedDTypes(model));
}

/** What each tensor is saved in. */
function savedDTypes(model: FamilyModel, dtype?: DType): DTypeOf {
  const kept = new Set<Tensor>();
  for (const { owner, tensor } of model.parameterSlots()) if (owner.keepsDTypes) kept.add(tensor);
  return (tensor) => (kept.has(tensor) ? tensor.dtype : (dtype ?? tensor.dtype));
}

function writeShard(
  state: ReadonlyMap<string, Tensor>,
  names: readonly string[],
  file: string,
  dtypeOf: DTypeOf,
): void {
  scope(() => {
    const tensors = new Map<string, Tensor>();
    for (const name of names) {
      const tensor = state.get(name) as Tensor;
      const form = { dtype: dtypeOf(tensor), device: "cpu" } as const;
      tensors.set(
        name,
        noGrad(() => tensor.detach().to(form).contiguous()),
      );
    }
    saveSafetensors(file, tensors, { format: "pt" });
  });
}

/** Puts files in the place of earlier weights. */
function replaceWeights(dir: string, files: readonly (readonly [from: string, name: string])[]): void {
  for (const stale of [SINGLE, INDEX]) rmSync(join(dir, stale), { force: true });
  for (const [from, name] of files) renameSync(from, join(dir, name));
}

/** The index of shards, where there are several, and config.json. */
function describeShards(model: FamilyModel, dir: string, shards: Shards, dtypeOf: DTypeOf): void {
  const state = model.stateDict();
  if (shards.length > 1) {
    const files = new Map(
      shards.flatMap((names, at) => names.map((name) => [name, shardFile(at, shards.length)])),
    );
    const sorted = Object.fromEntries([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
    let total = 0;
    for (const tensor of state.values()) total += tensor.numel() * bytesPerElement(dtypeOf(tensor));
    writeJson(join(dir, INDEX), { metadata: { total_size: total }, weight_map: sorted });
  }
  const dtype = dtypeOf(model.inputEmbedding.weight);
  writeJson(join(dir, "config.json"), model.configJson(dtype, !state.has("lm_head.weight")));
}

function makeModelFolder(dir: string): void {
  try {
    makeFolder(dir);
  } catch (error) {
    throw new UserError(`cannot write ${dir}: ${messageOf(error)}; choose another folder`);
  }
}

/** Names by file: as many as fit, in the order of the model. */
function planShards(state: ReadonlyMap<string, Tensor>, limit: number, dtypeOf: DTypeOf): string[][] {
  const shards: string[][] = [[]];
  let used = 0;
  for (const [name, tensor] of state) {
    const bytes = tensor.numel() * bytesPerElement(dtypeOf(tensor));
    if (used > 0 && used + bytes > limit) {
      shards.push([]);
      used = 0;
    }
    (shards[shards.length - 1] as string[]).push(name);
    used += bytes;
  }
  return shards;
}

// Weights of a model of any family: loaded, drawn from scratch, saved. A parameter's path is its key in the file.

import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../errors.js";
import { writeJson } from "../files/json.js";
import { makeFolder } from "../files/make-folder.js";
import { CodedLinear, Embedding, Linear, normal_, RMSNorm, zeroRow_ } from "../nn/index.js";
import type { Device, DType, Tensor } from "../torch/index.js";
import {
  bytesPerElement,
  empty,
  isFloatingPoint,
  keep,
  noGrad,
  ones,
  saveSafetensors,
  scope,
  zeros,
} from "../torch/index.js";
import type { FamilyModel } from "./family.js";
import type { StoredTensor } from "./files/checkpoint-files.js";
import { INDEX, openCheckpoint, SINGLE } from "./files/checkpoint-files.js";
import { takeQuantized } from "./files/quantized-weights.js";
import { hasHeadOfItsOwn, untie } from "./tied-head.js";

/** How weights are loaded. */
export interface LoadOptions {
  /** Cast to this; default: as stored. */
  dtype?: DType;
  /** Where to put the weights. Default: the CPU, on the pages of the files. */
  device?: Device;
  /** Told where the files contradict each other and one of them is followed. */
  onNote?: (text: string) => void;
}

/**
 * Gives a model the weights of a folder (`model.safetensors`, or shards with their index).
 * On the CPU and in the stored dtype they are views of the mapped files: no copy is made. Frozen until someone
 * asks for gradients. A tied model's `lm_head.weight` is left aside where it is the embedding; one that differs is kept,
 * the model's config then says that it is not tied, and `onNote` is told, as transformers does.
 * Throws UserError naming file and tensor where one is missing, unknown, or of another shape.
 */
export function loadWeights(model: FamilyModel, dir: string, options: LoadOptions = {}): void {
  scope(() => {
    const stored = withPrefix(openCheckpoint(dir));
    if (model.config.tie_word_embeddings && hasHeadOfItsOwn(stored)) {
      untie(model);
      options.onNote?.(
        `${dir}: config.json says tie_word_embeddings: true, but lm_head.weight differs from the embedding; the head is kept, and the two are trained and saved apart`,
      );
    }
    const { dtype, device } = options;
    const from = model.config.quantization?.from ?? dtype;
    const taken = takeQuantized(model, dir, stored, { dtype: from, device });
    checkFit(model, dir, stored, taken);
    model.mapParameters((parameter, name) => {
      if (taken.has(name)) return parameter;
      const { tensor } = stored.get(name) as StoredTensor;
      if (dtype === undefined && device === undefined) return tensor;
      return tensor.to({ ...(dtype !== undefined && { dtype }), ...(device !== undefined && { device }) });
    });
  });
}

/**
 * The names that the model itself has: a model that was saved without its head, as transformers' `Qwen3Model` is, lacks
 * the prefix, and one that a wrapper saved has it twice. transformers reads both.
 */
function withPrefix(stored: Map<string, StoredTensor>): Map<string, StoredTensor> {
  const isBare = stored.has("embed_tokens.weight") && !stored.has("model.embed_tokens.weight");
  if (!isBare && !stored.has("model.model.embed_tokens.weight")) return stored;
  const rename = (name: string) =>
    !isBare ? name.replace(/^model\./, "") : name.startsWith("lm_head.") ? name : `model.${name}`;
  return new Map([...stored].map(([name, one]) => [rename(name), one]));
}

/** Every tensor that the model needs is there, in its shape, and none that it has no place for; `taken` were seen to. */
function checkFit(
  model: FamilyModel,
  dir: string,
  stored: ReadonlyMap<string, StoredTensor>,
  taken: ReadonlySet<string>,
): void {
  const wanted = model.stateDict();
  for (const [name, parameter] of wanted) {
    if (taken.has(name)) continue;
    const found = stored.get(name);
    if (found === undefined) {
      throw new UserError(`${dir}: no tensor "${name}"; config.json and the weights do not belong together`);
    }
    const { file, tensor } = found;
    if (tensor.shape.join() !== parameter.shape.join()) {
      throw new UserError(
        `${file}: ${name}: shape [${tensor.shape}] where config.json asks for [${parameter.shape}]; the two do not belong together`,
      );
    }
    if (!isFloatingPoint(tensor.dtype)) {
      throw new UserError(`${file}: ${name}: dtype ${tensor.dtype} is not a weight's`);
    }
  }
  for (const [name, { file }] of stored) {
    const redundant = name === "lm_head.weight" && model.config.tie_word_embeddings;
    // transformers of old saved the rotary frequencies too
    if (!wanted.has(name) && !taken.has(name) && !redundant && !name.endsWith("rotary_emb.inv_freq")) {
      throw new UserError(
        `${file}: unexpected tensor "${name}"; config.json has no place for it: the two do not belong together`,
      );
    }
  }
}

/**
 * A fresh model, whose weights train: N(0, initializer_range^2), norms 1, biases 0.
 * The draws are those of transformers 5.6's `AutoModelForCausalLM.from_config`, from torch's global CPU generator
 * and in its order, discarded ones included, so that after `manualSeed(n)` the weights agree bit for bit.
 */
export function initializeWeights(model: FamilyModel, dtype: DType = "float32"): void {
  const { initializer_range: std, pad_token_id: pad } = model.config;
  const head = model.outputHead;
  const modules = [...model.namedModules()].map(([, module]) => module).filter((module) => module !== head);
  const fresh = new Map<Tensor, Tensor>();
  const make = (old: Tensor, fill: (shape: readonly number[]) => Tensor): Tensor => {
    const tensor = keep(fill(old.shape));
    fresh.set(old, tensor);
    return tensor;
  };
  // what the layers' own constructors draw, and the model then overwrites
  for (const module of modules) {
    if (module instanceof Embedding) normal_(make(module.weight, (shape) => empty([...shape], { dtype })));
    else if (module instanceof Linear) discardLinear(module, dtype);
  }
  for (const module of modules) {
    if (module instanceof Embedding) {
      const table = normal_(fresh.get(module.weight) as Tensor, 0, std);
      if (pad !== undefined) zeroRow_(table, pad);
    } else if (module instanceof Linear) {
      normal_(
        make(module.weight, (shape) => empty([...shape], { dtype })),
        0,
        std,
      );
      if (module.bias !== undefined) make(module.bias, (shape) => zeros([...shape], { dtype }));
    } else if (module instanceof CodedLinear) {
      scope(() =>
        module.quantize(normal_(empty([module.outFeatures, module.inFeatures], { dtype }), 0, std)),
      );
    } else if (module instanceof RMSNorm) make(module.weight, (shape) => ones([...shape], { dtype }));
  }
  // the head comes last; a tied one is drawn too, and dropped
  if (head instanceof Linear) {
    discardLinear(head, dtype);
    const drawn = scope(() => normal_(empty([...head.weight.shape], { dtype }), 0, std));
    if (model.config.tie_word_embeddings) drawn.dispose();
    else fresh.set(head.weight, drawn);
  }
  model.mapParameters((parameter) => fresh.get(parameter)?.requiresGrad_() ?? parameter);
}

function discardLinear(layer: Linear, dtype: DType): void {
  scope(() => {
    new Linear(layer.inFeatures, layer.outFeatures, { dtype, bias: layer.bias !== undefined })
      .parameters()
      .map((p) => p.dispose());
  });
}

/** Options of {@link saveModel}. */
export interface SaveOptions {
  /** Cast to this; default: each tensor as it is. */
  dtype?: DType;
  /** Gigabytes (10^9 bytes) a file, at most; a larger tensor has its own file. Default 5. */
  maxShardGigabytes?: number;
}

/**
 * Writes config.json and the weights by their Hugging Face names, tied head left out: one file, or shards and
 * their index. A head that is no longer tied is written, and config.json says so.
 * Weights of an earlier run are replaced once all of the new ones are on the disk.
 * Throws UserError where the disk refuses; what was there before is then still there.
 */
export function saveModel(model: FamilyModel, dir: string, options: SaveOptions = {}): void {
  makeModelFolder(dir);
  const state = model.stateDict();
  const kept = new Set<Tensor>();
  for (const { owner, tensor } of model.parameterSlots()) if (owner.keepsDTypes) kept.add(tensor);
  const dtypeOf = (tensor: Tensor): DType =>
    kept.has(tensor) ? tensor.dtype : (options.dtype ?? tensor.dtype);
  const shards = planShards(state, (options.maxShardGigabytes ?? 5) * 1e9, dtypeOf);
  const width = 5;
  const map: Record<string, string> = {};
  let total = 0;
  const written: [from: string, to: string][] = [];
  for (const [index, names] of shards.entries()) {
    const number = (value: number): string => String(value).padStart(width, "0");
    const file =
      shards.length === 1 ? SINGLE : `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
    scope(() => {
      const tensors = new Map<string, Tensor>();
      for (const name of names) {
        const tensor = state.get(name) as Tensor;
        tensors.set(
          name,
          noGrad(() =>
            tensor
              .detach()
              .to({ dtype: dtypeOf(tensor), device: "cpu" })
              .contiguous(),
          ),
        );
        map[name] = file;
        total += tensor.numel() * bytesPerElement(dtypeOf(tensor));
      }
      written.push(saveBeside(dir, file, tensors, written));
    });
  }
  for (const stale of [SINGLE, INDEX]) rmSync(join(dir, stale), { force: true });
  for (const [from, to] of written) renameSync(from, to);
  if (shards.length > 1) {
    const sorted = Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
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

/** Writes a file under the name that a run cut off leaves to be cleaned up; where that fails, the `earlier` ones go. */
function saveBeside(
  dir: string,
  name: string,
  tensors: ReadonlyMap<string, Tensor>,
  earlier: readonly (readonly [from: string, to: string])[],
): [from: string, to: string] {
  const temporary = join(dir, `.${name}.${process.pid}.tmp`);
  try {
    saveSafetensors(temporary, tensors, { format: "pt" });
  } catch (error) {
    for (const [from] of earlier) rmSync(from, { force: true });
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message.replace(temporary, join(dir, name)), { cause: error });
  }
  return [temporary, join(dir, name)];
}

/** Names by file: as many as fit, in the order of the model. */
function planShards(
  state: Map<string, Tensor>,
  limit: number,
  dtypeOf: (tensor: Tensor) => DType,
): string[][] {
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

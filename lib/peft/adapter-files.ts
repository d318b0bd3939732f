// PEFT's adapter folder: adapter_model.safetensors and adapter_config.json, saved and loaded.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../errors.js";
import { parseJson, writeJson } from "../files/json.js";
import { makeFolder } from "../files/make-folder.js";
import type { Module } from "../nn/index.js";
import type { DType, Tensor } from "../torch/index.js";
import { cat, loadSafetensors, noGrad, saveSafetensors, scope } from "../torch/index.js";
import { adapterConfigOf, adapters, wrap } from "./adapt.js";
import type { AdapterConfig } from "./adapter-config.js";
import { adapterConfigJson, parseAdapterConfig } from "./adapter-config.js";
import type { LoraConfig } from "./lora.js";
import { LoraLinear } from "./lora.js";
import { fileWords } from "./targets.js";
import { TokenRows } from "./token-rows.js";

/** PEFT's file of an adapter's tensors. */
export const ADAPTER_WEIGHTS = "adapter_model.safetensors";
/** PEFT's file of an adapter's settings. */
export const ADAPTER_CONFIG = "adapter_config.json";
const PREFIX = "base_model.model.";
const TOKEN_ROWS = "token_adapter.trainable_tokens_delta";

/** The adapter's tensors by PEFT's keys, sorted: the parameters themselves, not copies. */
export function adapterState(model: Module): Map<string, Tensor> {
  const entries: [string, Tensor][] = [];
  for (const [path, module] of adapters(model)) {
    if (module instanceof LoraLinear) {
      entries.push([`${PREFIX}${path}.lora_A.weight`, module.lora_A.weight]);
      entries.push([`${PREFIX}${path}.lora_B.weight`, module.lora_B.weight]);
      const { lora_magnitude_vector: magnitude } = module;
      if (magnitude !== undefined) entries.push([`${PREFIX}${path}.lora_magnitude_vector`, magnitude]);
    } else if (module instanceof TokenRows) {
      entries.push([`${PREFIX}${path}.${TOKEN_ROWS}`, module.rows]);
    } else {
      for (const [name, parameter] of module.modules_to_save.namedParameters())
        entries.push([`${PREFIX}${path}.${name}`, parameter]);
    }
  }
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What of an adapter's folder is not the adapter itself. */
export interface SaveAdapterOptions {
  /** Where PEFT finds the base model, a folder or a name. Default: what a loaded adapter called it, else nothing. */
  readonly baseModel?: string;
}

/**
 * Writes both files, as PEFT 0.18.1's `save_pretrained` names them: the adapter as {@link addLora} or
 * {@link loadAdapter} made it.
 *
 * @throws UserError where the model has no adapter, or the folder cannot be written
 */
export function saveAdapter(model: Module, dir: string, options: SaveAdapterOptions = {}): void {
  const config = adapterConfigOf(model);
  if (config === undefined)
    throw new UserError(
      "the model has no adapter to save: addLora or loadAdapter first, and save before merging",
    );
  const named = "baseModel" in config ? config.baseModel : undefined;
  writeAdapter(model, dir, config, options.baseModel ?? named);
}

/** {@link saveAdapter} under another configuration than the model's; `state` may be an earlier state of the adapter. */
export function writeAdapter(
  model: Module,
  dir: string,
  config: LoraConfig | AdapterConfig,
  baseModel: string | undefined,
  state: ReadonlyMap<string, Tensor> = adapterState(model),
): void {
  makeFolder(dir);
  const wrapped = [...adapters(model)]
    .filter(([, module]) => module instanceof LoraLinear)
    .map(([path]) => path);
  scope(() => {
    const tensors = new Map<string, Tensor>();
    for (const [key, parameter] of state) {
      tensors.set(
        key,
        noGrad(() => parameter.detach().to({ device: "cpu" }).contiguous()),
      );
    }
    saveSafetensors(join(dir, ADAPTER_WEIGHTS), tensors, { format: "pt" });
  });
  const file = join(dir, ADAPTER_CONFIG);
  const json = adapterConfigJson(config, targetNames(wrapped, config), baseModel);
  writeJson(file, json);
}

/**
 * Writes a PiSSA adapter as plain LoRA of twice the rank, for the untouched base model: B A - B0 A0 is the product of
 * [B | -B0] and A over A0. `first` is the adapter's state before training.
 */
export function saveConverted(
  model: Module,
  dir: string,
  config: LoraConfig | AdapterConfig,
  baseModel: string,
  first: ReadonlyMap<string, Tensor>,
): void {
  scope(() => {
    const joined = new Map<string, Tensor>();
    for (const [key, parameter] of adapterState(model)) {
      const before = first.get(key) as Tensor;
      const [now, then] = noGrad(() => [parameter.detach(), before]);
      if (key.endsWith("lora_A.weight")) joined.set(key, cat([now, then], 0));
      else if (key.endsWith("lora_B.weight")) joined.set(key, cat([now, then.neg()], 1));
      else joined.set(key, now);
    }
    const alpha = config.alpha || 2 * config.rank;
    const wider = {
      ...config,
      rank: 2 * config.rank,
      alpha: alpha * (config.rankStabilized ? Math.SQRT2 : 2),
    };
    writeAdapter(model, dir, wider, baseModel, joined);
  });
}

/** The names as given, or for `all` the last parts of what was wrapped. */
function targetNames(
  wrapped: readonly string[],
  { targets = "all" }: LoraConfig | AdapterConfig,
): readonly string[] | string {
  if (targets instanceof RegExp) return targets.source.replace(/^\^\(\?:(.*)\)\$$/, "$1");
  if (targets !== "all" && !(targets.length === 1 && targets[0] === "all")) return targets;
  return [...new Set(wrapped.map((path) => path.split(".").pop() as string))];
}

/** Reads and checks `adapter_config.json` of a folder. */
export function readAdapterConfig(dir: string): AdapterConfig {
  const file = join(dir, ADAPTER_CONFIG);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const advice = "name a folder that training or PEFT saved an adapter in";
    if (!existsSync(dir)) throw new UserError(`adapter_name_or_path: there is no folder ${dir}; ${advice}`);
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new UserError(
      `${file} ${missing ? "is missing" : `cannot be read (${messageOf(error)})`}; ${dir} is no adapter: ${advice}`,
    );
  }
  return parseAdapterConfig(parseJson(text, file), file);
}

/**
 * Wraps a plain model with an adapter of PEFT's format, trainable or frozen, and gives what the folder says of it.
 * Draws nothing that stays: A and B come from the file, and with PiSSA the base layers keep what its decomposition
 * leaves them.
 * Throws UserError naming file and key where the two do not fit.
 */
export function loadAdapter(
  model: Module,
  dir: string,
  options: { trainable?: boolean; savedDtype?: DType } = {},
): AdapterConfig {
  const config = readAdapterConfig(dir);
  // an adapter that is not trained computes in its base model's dtype, as PEFT has it
  const savedDtype = options.savedDtype ?? (options.trainable === true ? "float32" : undefined);
  wrap(model, config, fileWords(join(dir, ADAPTER_CONFIG)), savedDtype);
  loadAdapterState(model, dir);
  if (options.trainable !== true) model.requiresGrad_(false).eval(); // as PEFT: no dropout where nothing is trained
  return config;
}

/** Rows that an adapter needs the embedding and head to have; undefined where it says nothing of them. */
export function adapterRows(dir: string): number | undefined {
  const file = join(dir, ADAPTER_WEIGHTS);
  if (!existsSync(file)) return undefined;
  const trained = Object.values(readAdapterConfig(dir).tokenIndices ?? {}).flat();
  if (trained.length > 0) return 1 + trained.reduce((most, id) => Math.max(most, id), 0);
  return scope(() => {
    const stored = loadSafetensors(file);
    const table = stored.get(`${PREFIX}model.embed_tokens.weight`) ?? stored.get(`${PREFIX}lm_head.weight`);
    return table?.shape[0];
  });
}

/** Copies an adapter file's tensors into a model that is already wrapped alike (resuming). */
export function loadAdapterState(model: Module, dir: string): void {
  const file = join(dir, ADAPTER_WEIGHTS);
  if (!existsSync(file)) {
    const old = existsSync(join(dir, "adapter_model.bin"))
      ? "; adapter_model.bin is a pickle and is not read: save it again with PEFT"
      : "; copy the whole folder of the adapter";
    throw new UserError(`${file}: missing${old}`);
  }
  scope(() => {
    const stored = new Map<string, Tensor>(loadSafetensors(file));
    const state = adapterState(model);
    for (const key of stored.keys()) {
      // PEFT saves the tables of an enlarged vocabulary under these names too
      if (/\.(modules_to_save|original_module)\./.test(key)) continue;
      if (!state.has(key))
        throw new UserError(
          `${file}: unexpected tensor "${key}"; adapter_config.json or the base model is not the one that it was trained with`,
        );
    }
    for (const [key, parameter] of state) {
      const tensor = stored.get(key);
      if (tensor === undefined)
        throw new UserError(
          `${file}: no tensor "${key}"; it does not fit adapter_config.json or the base model`,
        );
      if (tensor.shape.join() !== parameter.shape.join()) {
        throw new UserError(
          `${file}: ${key}: shape [${tensor.shape}] where the model asks for [${parameter.shape}]; is it the adapter of another base model?`,
        );
      }
      noGrad(() => parameter.copy_(tensor));
    }
  });
}

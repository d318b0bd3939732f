// A model for reading rather than training: base weights with an adapter on them, frozen, in eval mode.
import { existsSync } from "node:fs";
import path from "node:path";
import { fetchAdapters } from "../assembly/fetched.js";
import { attentionKernel, scaledPositions } from "../assembly/model.js";
import { type QuantizingRecipe, quantizedConfig } from "../assembly/quantized.js";
import type { Recipe } from "../config/index.js";
import { loadTokenizer, type Tokenizer } from "../data/index.js";
import { UserError } from "../errors.js";
import { fetchModel, type HubEvent, type HubKeys } from "../hub/index.js";
import {
  type FamilyModel,
  loadModel,
  type ModelConfig,
  type PositionScaling,
  readModelConfig,
} from "../models/index.js";
import { enlarge } from "../models/resize-vocabulary.js";
import type { AttentionKernel } from "../nn/index.js";
import { adapterRows, loadAdapter, mergeAdapter } from "../peft/index.js";
import { type Device, type DType, defaultDevice, isHost } from "../torch/index.js";

/** Where a model is and how it is wanted. */
export interface InferenceOptions {
  /** Folder of the base model, or its name on a hub, from which it is fetched into the cache. */
  model: string;
  /** Folders or names of PEFT adapters; all but the last are merged into the base. */
  adapters?: readonly string[];
  /** Of the weights. Default: each as the folder has it. */
  dtype?: DType;
  /** Where to compute. Default `cpu`. */
  device?: Device;
  /** Merge the last adapter too: no adapter is left. */
  merge?: boolean;
  /** What attends. Default: the flash kernel. */
  attention?: AttentionKernel;
  /** Keys of a recipe by which the weights are quantized while they are loaded. */
  quantize?: QuantizingRecipe;
  /** In place of the folder's config.json. */
  config?: ModelConfig;
  /** Stretches the rotary embedding to twice the positions by this formula. */
  ropeScaling?: PositionScaling | null;
  /** Revision, tokens and cache for names on a hub; a recipe has these keys. */
  hub?: HubKeys;
  /** Follows what is fetched. */
  onEvent?: (event: HubEvent) => void;
  /** Ends what is fetched early. */
  signal?: AbortSignal;
}

/**
 * Loads a model and its tokenizer, frozen and in eval mode. The tokenizer comes from the model's folder, or from an
 * adapter's that brings new tokens; the model then has rows for them.
 */
export async function openModel(
  options: InferenceOptions,
): Promise<{ model: FamilyModel; tokenizer: Tokenizer }> {
  const { dtype, device = "cpu", onEvent, signal } = options;
  const hub = { keys: options.hub, onEvent, signal };
  const folder = await fetchModel(options.model, hub);
  const adapters = await fetchAdapters(options.adapters ?? [], hub);
  let config = options.config ?? readModelConfig(folder);
  if (options.quantize !== undefined) config = quantizedConfig(options.quantize, config, dtype);
  if (config.quantization !== undefined && (adapters.length > 1 || (options.merge && adapters.length > 0)))
    throw new UserError(
      `${options.model} is quantized: no adapter is merged into it; merge into the model's original weights instead`,
    );
  if (options.attention !== undefined) config = { ...config, attention: options.attention };
  if (options.ropeScaling) config = scaledPositions(config, options.ropeScaling, undefined).config;
  const tokenizer = await tokenizerOf(folder, adapters);
  const placement = { ...(dtype === undefined ? {} : { dtype }), ...(isHost(device) ? {} : { device }) };
  const rows = Math.max(config.vocab_size, ...adapters.map((dir) => adapterRows(dir) ?? 0));
  const grows = rows > config.vocab_size;
  const onNote = (text: string): void => onEvent?.({ type: "message", level: "warning", text });
  const model = loadModel(folder, config, { ...(grows ? {} : placement), onNote });
  model.requiresGrad_(false);
  if (grows) {
    // whatever they begin with, the adapter has its own
    enlarge(model, rows, { method: "noise_init", descriptions: [], tokens: rows });
    model.to(placement);
  }
  for (const [index, adapter] of adapters.entries()) {
    loadAdapter(model, adapter);
    if (options.merge === true || index < adapters.length - 1) mergeAdapter(model);
  }
  model.requiresGrad_(false);
  return { model: model.eval(), tokenizer };
}

/** The largest tokenizer of the base model's folder and the adapters'. */
async function tokenizerOf(folder: string, adapters: readonly string[]): Promise<Tokenizer> {
  let found = await loadTokenizer(folder);
  for (const dir of adapters) {
    if (!existsSync(path.join(dir, "tokenizer.json"))) continue;
    const other = await loadTokenizer(dir);
    if (other.vocabSize > found.vocabSize) found = other;
  }
  return found;
}

const DTYPES: Record<string, DType | undefined> = {
  auto: undefined,
  float16: "float16",
  bfloat16: "bfloat16",
  float32: "float32",
};

/** The model of a `chat` or `export` recipe. */
export async function loadForInference(
  recipe: Recipe,
  options: Pick<InferenceOptions, "merge" | "device" | "onEvent" | "signal"> = {},
): Promise<{ model: FamilyModel; tokenizer: Tokenizer }> {
  return openModel({
    model: recipe.model_name_or_path,
    adapters: recipe.adapter_name_or_path ?? [],
    dtype: DTYPES[recipe.infer_dtype],
    device: options.device ?? (recipe.use_cpu ? "cpu" : defaultDevice()),
    merge: options.merge,
    ropeScaling: recipe.rope_scaling,
    quantize: recipe,
    attention: attentionKernel(recipe),
    hub: recipe,
    onEvent: options.onEvent,
    signal: options.signal,
  });
}

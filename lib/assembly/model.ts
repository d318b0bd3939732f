// From a recipe to its model: the device, the configuration, the weights with rows for new tokens, and the parts that are
// trained. Not the data, nor the order of random draws around it: see train/setup/prepare.ts.

import path from "node:path";
import type { Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import type { Emit } from "../events.js";
import { HeldSlices, type TrainingMethod } from "../methods/index.js";
import {
  buildEmptyModel,
  type FamilyModel,
  familyOf,
  initializeWeights,
  joinShards,
  loadWeights,
  type ModelConfig,
  type PositionScaling,
  parseModelConfig,
  readModelConfig,
  saveModel,
  saveShard,
} from "../models/index.js";
import { addRows, newRows, type PieceStart } from "../models/new-rows.js";
import { enlarge, type NewRowInit, rowsFor } from "../models/resize-vocabulary.js";
import type { AttentionKernel } from "../nn/index.js";
import { readAdapterConfig } from "../peft/index.js";
import { accelerator, buildInfo, type Device, defaultDevice, fusedKernels, isHost } from "../torch/index.js";
import { type AdaptedRecipe, adaptModel, type ModelShards, type Weights } from "./adapters.js";
import { float8Config } from "./float8.js";
import { type NoCard, noCardLine } from "./no-card.js";
import { precisionOf, upcastNorms } from "./precision.js";
import { checkOffload, checkTrainable, integerConfig, quantizedConfig } from "./quantized.js";
import { copyGenerationConfig } from "./tokenizer-files.js";
import { trainPart } from "./trained-part.js";

/** The device of a recipe: an accelerator where there is one and `use_cpu` does not forbid it. */
export function chooseDevice(recipe: Pick<Recipe, "use_cpu">, emit: Emit): Device {
  if (recipe.use_cpu) return "cpu";
  const device = defaultDevice();
  const count = accelerator()?.count ?? 0;
  const line = count > 0 ? undefined : noCardLine(cardFacts());
  if (line !== undefined) emit({ type: "message", level: "warning", text: line });
  if (count > 1)
    emit({
      type: "message",
      level: "info",
      text: `${count} GPUs found; this process uses one (${device}): \`qwen-pt train\` starts a process for each where \`node scripts/nccl.mjs\` has built NCCL's library`,
    });
  return device;
}

function cardFacts(): NoCard {
  const { hasCuda, acceleratorError } = buildInfo();
  const driver = hasCuda ? (fusedKernels("cuda:0")?.reason ?? "") : "";
  return { hasCuda, acceleratorError, visible: process.env["CUDA_VISIBLE_DEVICES"], driver };
}

/** What `flash_attn` chooses: disabled is the plain composition, sdpa libtorch's choice, everything else the flash kernel. */
export function attentionKernel({ flash_attn }: Pick<Recipe, "flash_attn">): AttentionKernel {
  if (flash_attn === "disabled") return "plain";
  return flash_attn === "sdpa" ? "sdpa" : "flash";
}

/** config.json with the recipe's quantization, and its `rope_scaling` or `rope_parameters`, applied. */
export function modelConfig(recipe: Recipe, emit: Emit): ModelConfig {
  const note = (text: string): void => emit({ type: "message", level: "info", text });
  const { compute } = precisionOf(recipe);
  const read = { ...readModelConfig(recipe.model_name_or_path), attention: attentionKernel(recipe) };
  const quantized = integerConfig(recipe, quantizedConfig(recipe, read, compute, note), compute);
  checkTrainable(recipe, quantized);
  const config = float8Config(recipe, quantized, compute, emit);
  checkOffload(recipe, config);
  if (recipe.rope_parameters !== null) {
    const raw: Record<string, unknown> = { ...config.raw, rope_parameters: recipe.rope_parameters };
    delete raw["rope_scaling"];
    const source = `rope_parameters (over ${path.join(recipe.model_name_or_path, "config.json")})`;
    return {
      ...parseModelConfig(raw, source),
      quantization: config.quantization,
      products: config.products,
      attention: config.attention,
    };
  }
  if (recipe.rope_scaling === null) return config;
  const scaled = scaledPositions(config, recipe.rope_scaling, recipe.cutoff_len);
  for (const note of scaled.notes) emit({ type: "message", ...note });
  return scaled.config;
}

/**
 * A configuration for more positions, and what to say of it.
 * @throws UserError where the model's family cannot
 */
export function scaledPositions(
  config: ModelConfig,
  type: PositionScaling,
  cutoffLength: number | undefined,
) {
  const family = familyOf(config);
  if (family.scalePositions !== undefined) return family.scalePositions(config, type, cutoffLength);
  throw new UserError(`rope_scaling: its positions cannot be scaled (${family.models}); remove it`);
}

/** What a model is built for. */
export interface BaseModelOptions {
  /** What an adapter calls its base model. */
  name: string;
  device: Device;
  /** A checkpoint whose weights the model takes. */
  resume: string | undefined;
  /** How rows for new tokens begin; undefined where the vocabulary stays. */
  start: NewRowInit | PieceStart | undefined;
  /** What `full` and `freeze` train stays on the pages of the model's file, as stored: a strategy divides it from there. */
  isDividedLater?: boolean;
}

/** The model with its weights, in as many rows as its tokenizer needs. */
export function loadBase(
  recipe: Recipe,
  config: ModelConfig,
  { device, resume, start }: BaseModelOptions,
  onNote?: (text: string) => void,
): FamilyModel {
  const onDevice = { ...(!isHost(device) && { device }), ...(onNote && { onNote }) };
  const rows = start === undefined ? config.vocab_size : rowsFor(start.tokens, config.vocab_size);
  if (resume !== undefined && recipe.finetuning_type !== "lora") {
    const model = buildEmptyModel({ ...config, vocab_size: rows });
    loadWeights(model, resume, onDevice);
    return model;
  }
  const model = buildEmptyModel(config);
  if (recipe.train_from_scratch) initializeWeights(model, config.dtype ?? "float32");
  else
    loadWeights(
      model,
      recipe.model_name_or_path,
      start === undefined ? onDevice : { ...(onNote && { onNote }) },
    );
  if (start !== undefined && "pieces" in start) addRows(model, start);
  else if (start !== undefined) enlarge(model, rows, start);
  if (!isHost(device)) model.to({ device });
  return model;
}

/**
 * New tokens are learned in rows that LoRA leaves as they are: the new ones alone, or whole tables, as LLaMA-Factory
 * does for the keys that it knows.
 */
function withNewTokens(
  recipe: Recipe,
  config: ModelConfig,
  start: NewRowInit | PieceStart | undefined,
): AdaptedRecipe {
  if (start === undefined || recipe.additional_target !== null) return recipe;
  if (!("pieces" in start)) return { ...recipe, additional_target: ["embed_tokens", "lm_head"] };
  const ids = newRows(start, rowsFor(start.tokens, config.vocab_size), config.vocab_size);
  return { ...recipe, tokenIndices: Object.fromEntries(tablesOf(config, start).map((name) => [name, ids])) };
}

/** Where new tokens have rows; with freeze the whole tables are trained. */
function tablesOf(config: ModelConfig, start: NewRowInit | PieceStart | undefined): string[] {
  if (start === undefined || !("pieces" in start)) return [];
  return config.tie_word_embeddings ? ["embed_tokens"] : ["embed_tokens", "lm_head"];
}

/** What a recipe trains whole beside an adapter, and the key that asks for it. */
export function trainedTables(
  recipe: Recipe,
  start: NewRowInit | PieceStart | undefined,
): { key: string; names: readonly string[] } | undefined {
  const continued = recipe.create_new_adapter ? undefined : recipe.adapter_name_or_path?.at(-1);
  if (continued !== undefined)
    return {
      key: `adapter_name_or_path: ${continued}: modules_to_save`,
      names: readAdapterConfig(continued).modulesToSave,
    };
  if (recipe.additional_target !== null) return { key: "additional_target", names: recipe.additional_target };
  if (start === undefined || "pieces" in start) return undefined;
  return { key: "resize_vocab", names: ["embed_tokens", "lm_head"] };
}

/** Builds the model of a recipe with its trainable parts. */
export function buildModel(
  recipe: Recipe,
  building: BaseModelOptions,
  emit: Emit,
): { model: FamilyModel; weights: Weights; methods: TrainingMethod[] } {
  const { name, device, resume, start } = building;
  const given = modelConfig(recipe, emit);
  const isLora = recipe.finetuning_type === "lora";
  const onDevice = isHost(device) ? {} : { device };
  const warn = (text: string): void => emit({ type: "message", level: "warning", text });
  const model = loadBase(recipe, given, building, warn);
  const config = { ...given, tie_word_embeddings: model.config.tie_word_embeddings };
  if (recipe.upcast_layernorm) upcastNorms(model);
  if (isLora) {
    const weights = adaptModel(model, withNewTokens(recipe, config, start), name, resume);
    return { model, weights, methods: [] };
  }
  const storage = { dtype: precisionOf(recipe).trainable, ownMemory: !building.isDividedLater };
  const slices = trainPart(model, recipe, storage, tablesOf(config, start));
  const save = (dir: string): void => {
    saveModel(model, dir);
    copyGenerationConfig(recipe.model_name_or_path, dir);
  };
  const shards: ModelShards = {
    save: (dir, names, at) => saveShard(model, dir, names, at),
    join(from, dir, names) {
      joinShards(model, from, dir, names);
      copyGenerationConfig(recipe.model_name_or_path, dir);
    },
  };
  const weights: Weights = { save, shards, load: (dir) => loadWeights(model, dir, onDevice) };
  const held = slices.size > 0 ? [new HeldSlices(model, slices, building.isDividedLater)] : [];
  return { model, weights, methods: held };
}

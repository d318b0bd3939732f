// From a recipe to what a trainer needs: tokenizer, blocks, device, model with its trainable parts. The order of
// random draws is LLaMA-Factory's: the seed, then the adapter, then the seed again.
import { accessSync, constants, existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { type AdaptedRecipe, adaptModel, type Weights } from "../../assembly/adapters.js";
import { located } from "../../assembly/fetched.js";
import { precisionOf, upcastNorms } from "../../assembly/precision.js";
import { copyGenerationConfig } from "../../assembly/tokenizer-files.js";
import { trainPart } from "../../assembly/trained-part.js";
import { openVocabulary } from "../../assembly/vocabulary/new-tokens.js";
import { type LoadedRecipe, packsBySource, type Recipe } from "../../config/index.js";
import {
  type BlockStream,
  type DataSummary,
  type EvaluationSet,
  prepareTrainingData,
  type SourceSampler,
  type TokenBlocks,
  type Tokenizer,
} from "../../data/index.js";
import { UserError } from "../../errors.js";
import type { TrainEvent } from "../../events.js";
import { writeError } from "../../files/output-file.js";
import { datasetFetcher } from "../../hub/index.js";
import { documentArrangement, HeldSlices, type TrainingMethod } from "../../methods/index.js";
import { countParameters } from "../../models/causal-model.js";
import { addRows, newRows, type PieceStart } from "../../models/new-rows.js";
import {
  initializeWeights,
  loadWeights,
  parseConfig,
  type Qwen3Config,
  Qwen3ForCausalLM,
  readConfig,
  saveModel,
  scaleRope,
} from "../../models/qwen3/index.js";
import { enlarge, type RowStart, rowsFor } from "../../models/resize-vocabulary.js";
import type { Checkpointing } from "../../step/recompute.js";
import {
  accelerator,
  type Device,
  type DType,
  defaultDevice,
  isHost,
  manualSeed,
  setDeterministic,
  setFloat32Precision,
} from "../../torch/index.js";
import { runSampler } from "../batches/run-sampler.js";
import { cleanStale, listCheckpoints, verifyCheckpoint } from "../checkpoint/folder.js";
import { LOOP_FILE } from "../checkpoint/run-state.js";
import { settleCheckpointing } from "../estimate/choose-checkpointing.js";
import { LossCurriculum } from "../methods/loss-curriculum.js";
import { recipeMethods } from "../methods/recipe-methods.js";
import { giveBackMemory } from "./free-memory.js";
import { computingOf, productsLine, slowness } from "./what-computes.js";

type Emit = (event: TrainEvent) => void;

/** Everything that a trainer works with. */
export interface Prepared {
  recipe: Recipe;
  /** The recipe with folders of this machine in place of names on a hub. */
  located: Recipe;
  model: Qwen3ForCausalLM;
  weights: Weights;
  tokenizer: Tokenizer;
  /** The vocabulary has more entries than the recipe's model. */
  grown: boolean;
  blocks: TokenBlocks;
  evaluation: readonly EvaluationSet[];
  /** With `streaming`, the steps to train on. */
  stream: BlockStream | undefined;
  /** The order of blocks, where the recipe asks for one of its own. */
  sampler: SourceSampler | undefined;
  summary: DataSummary;
  device: Device;
  /** What the backward pass computes again. */
  checkpointing: Checkpointing;
  /** The checkpoint to go on from. */
  resume: string | undefined;
  /** What the recipe adds for incremental pre-training. */
  methods: readonly TrainingMethod[];
}

/** The device of a recipe: an accelerator where there is one and `use_cpu` does not forbid it. */
export function chooseDevice(recipe: Pick<Recipe, "use_cpu">, emit: Emit): Device {
  if (recipe.use_cpu) return "cpu";
  const device = defaultDevice();
  const count = accelerator()?.count ?? 0;
  if (count > 1)
    emit({
      type: "message",
      level: "info",
      text: `${count} GPUs are here; one is used (${device}) in this version`,
    });
  return device;
}

const WEIGHT_FILES = ["adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json"];

/** A disk that refuses is said before hours of work. Makes nothing. `key` is what the recipe calls the folder. */
export function checkWritable(outputDir: string, key = "output_dir"): void {
  let nearest = path.resolve(outputDir);
  while (!existsSync(nearest)) nearest = path.dirname(nearest);
  try {
    if (!statSync(nearest).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
    accessSync(nearest, constants.W_OK);
  } catch (error) {
    throw writeError(outputDir, error, key);
  }
}

/** A whole checkpoint may still lack what resuming needs: it must not be passed over for an older one in silence. */
function resumable(dir: string): string {
  if (existsSync(path.join(dir, LOOP_FILE))) return dir;
  throw new UserError(
    `${dir} was written with save_only_model: true and cannot be resumed; name another in resume_from_checkpoint, or start anew with overwrite_output_dir: true`,
  );
}

/**
 * Where to go on from: the folder that the recipe names, or the last complete checkpoint of output_dir.
 * @throws UserError for a folder that is no complete checkpoint, and for an output_dir that would be overwritten
 */
export function findResume(recipe: Recipe, emit: Emit): string | undefined {
  const { output_dir, resume_from_checkpoint: wanted, overwrite_output_dir } = recipe;
  checkWritable(output_dir);
  cleanStale(output_dir);
  if (typeof wanted === "string") {
    verifyCheckpoint(wanted);
    return resumable(wanted);
  }
  if (wanted !== true && overwrite_output_dir) return undefined;
  for (const { dir } of listCheckpoints(output_dir)) {
    try {
      verifyCheckpoint(dir);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      emit({ type: "message", level: "warning", text: `passed over: ${error.message}` });
      continue;
    }
    return resumable(dir);
  }
  if (wanted === true)
    throw new UserError(
      `resume_from_checkpoint: there is no complete checkpoint in ${output_dir}; leave it out to start anew`,
    );
  const weights = existsSync(output_dir)
    ? readdirSync(output_dir).find((name) => WEIGHT_FILES.includes(name))
    : undefined;
  if (weights !== undefined) {
    throw new UserError(
      `output_dir: ${output_dir} holds ${weights} of an earlier run; choose another folder or set overwrite_output_dir: true`,
    );
  }
  return undefined;
}

/** config.json with the recipe's `rope_scaling` or `rope_parameters` applied. */
export function modelConfig(recipe: Recipe, emit: Emit): Qwen3Config {
  const config = readConfig(recipe.model_name_or_path);
  if (recipe.rope_parameters !== null) {
    const raw = { ...config.raw, rope_parameters: recipe.rope_parameters };
    delete (raw as Record<string, unknown>)["rope_scaling"];
    return parseConfig(raw, `rope_parameters (over ${path.join(recipe.model_name_or_path, "config.json")})`);
  }
  if (recipe.rope_scaling === null) return config;
  const scaled = scaleRope(config, recipe.rope_scaling, recipe.cutoff_len);
  for (const note of scaled.notes) emit({ type: "message", ...note });
  return { ...config, rope: scaled.rope, max_position_embeddings: scaled.maxPositions };
}

interface Building {
  /** What an adapter calls its base model. */
  name: string;
  device: Device;
  /** A checkpoint whose weights the model takes. */
  resume: string | undefined;
  /** How rows for new tokens begin; undefined where the vocabulary stays. */
  start: RowStart | PieceStart | undefined;
}

/** The model with its weights, in as many rows as its tokenizer needs. */
function loadBase(
  recipe: Recipe,
  config: Qwen3Config,
  { device, resume, start }: Building,
): Qwen3ForCausalLM {
  const onDevice = isHost(device) ? {} : { device };
  const rows = start === undefined ? config.vocab_size : rowsFor(start.tokens, config.vocab_size);
  if (resume !== undefined && recipe.finetuning_type !== "lora") {
    const model = new Qwen3ForCausalLM({ ...config, vocab_size: rows });
    loadWeights(model, resume, onDevice);
    return model;
  }
  const model = new Qwen3ForCausalLM(config);
  if (recipe.train_from_scratch) initializeWeights(model, config.dtype ?? "float32");
  else loadWeights(model, recipe.model_name_or_path, start === undefined ? onDevice : {});
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
  config: Qwen3Config,
  start: RowStart | PieceStart | undefined,
): AdaptedRecipe {
  if (start === undefined || recipe.additional_target !== null) return recipe;
  if (!("pieces" in start)) return { ...recipe, additional_target: ["embed_tokens", "lm_head"] };
  const ids = newRows(start, rowsFor(start.tokens, config.vocab_size), config.vocab_size);
  return { ...recipe, tokenIndices: Object.fromEntries(tablesOf(config, start).map((name) => [name, ids])) };
}

/** Where new tokens have rows; with freeze the whole tables are trained. */
function tablesOf(config: Qwen3Config, start: RowStart | PieceStart | undefined): string[] {
  if (start === undefined || !("pieces" in start)) return [];
  return config.tie_word_embeddings ? ["embed_tokens"] : ["embed_tokens", "lm_head"];
}

/** Builds the model of a recipe with its trainable parts. */
function buildModel(
  recipe: Recipe,
  building: Building,
  emit: Emit,
): { model: Qwen3ForCausalLM; weights: Weights; methods: TrainingMethod[] } {
  const { name, device, resume, start } = building;
  const config = modelConfig(recipe, emit);
  const isLora = recipe.finetuning_type === "lora";
  const onDevice = isHost(device) ? {} : { device };
  const model = loadBase(recipe, config, building);
  const { trainable, compute } = precisionOf(recipe);
  const isMixed = compute === undefined && config.dtype !== "float32" && config.dtype !== null;
  if (recipe.upcast_layernorm) {
    if (isMixed)
      throw new UserError(
        `upcast_layernorm: float32 norms and ${config.dtype} layers need autocast between them; set bf16: true`,
      );
    upcastNorms(model);
  }
  if (isMixed && recipe.finetuning_type === "freeze" && trainable === "float32")
    throw new UserError(
      `finetuning_type: freeze trains in float32, and ${config.dtype} layers beside that need autocast between them; set bf16: true`,
    );
  if (isLora) {
    const weights = adaptModel(model, withNewTokens(recipe, config, start), name, resume);
    return { model, weights, methods: [] };
  }
  const slices = trainPart(model, recipe, trainable, tablesOf(config, start));
  const save = (dir: string): void => {
    saveModel(model, dir);
    copyGenerationConfig(recipe.model_name_or_path, dir);
  };
  const weights: Weights = { save, load: (dir) => loadWeights(model, dir, onDevice) };
  return { model, weights, methods: slices.size > 0 ? [new HeldSlices(model, slices)] : [] };
}

/** The model's event, with what computes on the processor; and a warning where that is slower than it need be. */
function sayModel(
  model: { trainable: number; total: number; device: Device; dtype: DType },
  recipe: Recipe,
  emit: Emit,
): void {
  if (!isHost(model.device)) {
    emit({ type: "model", ...model });
    return;
  }
  const computing = computingOf(recipe, model.dtype);
  emit({ type: "model", ...model, products: productsLine(computing) });
  const text = slowness(computing);
  if (text !== undefined) emit({ type: "message", level: "warning", text });
}

/**
 * Reads the tokenizer, packs the data, loads the model and makes it trainable.
 * @throws UserError for anything wrong with what the recipe names
 */
export async function prepare(loaded: LoadedRecipe, emit: Emit, signal?: AbortSignal): Promise<Prepared> {
  const given = loaded.recipe;
  for (const text of loaded.notes) emit({ type: "message", level: "info", text });
  const resume = findResume(given, emit);
  const recipe = await located(given, emit, signal);
  const config = readConfig(recipe.model_name_or_path); // a wrong model is said before hours of tokenizing
  const hub = datasetFetcher({ keys: given, onEvent: emit });
  const { tokenizer, start } = await openVocabulary(recipe, emit, { resume, hub, signal });
  if (tokenizer.vocabSize > config.vocab_size && start === undefined) {
    throw new UserError(
      `${recipe.model_name_or_path}: the tokenizer has ${tokenizer.vocabSize} tokens and the model's embedding ${config.vocab_size} rows; use the tokenizer that belongs to the model, or set resize_vocab: true`,
    );
  }
  const waiting = (name: string) =>
    `dataset: ${name}: another process is tokenizing it; waiting for its tokens`;
  const data = await prepareTrainingData(recipe, tokenizer, {
    signal,
    hub,
    bySource: packsBySource(recipe) && (documentArrangement(recipe) ?? true),
    onWait: (name) => emit({ type: "message", level: "info", text: waiting(name) }),
  });
  const { blocks, stream, summary, evaluation, notes, warnings = [] } = data;
  for (const text of warnings) emit({ type: "message", level: "warning", text });
  for (const text of notes) emit({ type: "message", level: "info", text });
  if (recipe.do_eval && evaluation.length === 0)
    throw new UserError(
      "do_eval: there is nothing to evaluate on; set eval_dataset to a name in dataset_info.json, or val_size to a share of the data",
    );
  const ids = Array.from(blocks.get(0));
  emit({ type: "data", summary, example: { ids, text: tokenizer.decode(ids) } });
  const { sampler, notes: drawn = [] } = runSampler(recipe, data) ?? {};
  for (const text of drawn) emit({ type: "message", level: "info", text });
  const device = chooseDevice(recipe, emit);
  if (recipe.tf32) setFloat32Precision("high");
  setDeterministic(recipe.full_determinism);
  manualSeed(recipe.seed);
  const { model, weights, methods } = buildModel(
    recipe,
    { name: given.model_name_or_path, device, resume, start },
    emit,
  );
  const reference = (): Qwen3ForCausalLM => {
    manualSeed(recipe.seed); // what a fresh model drew, this one draws too
    return loadBase(
      recipe,
      modelConfig(recipe, () => {}),
      { name: "", device, resume: undefined, start },
    );
  };
  methods.unshift(
    ...(await recipeMethods({ recipe, model, reference, tokenizer, hub, device, emit, signal })),
  );
  if (recipe.curriculum_by === "loss" && sampler !== undefined)
    methods.push(
      new LossCurriculum({
        order: sampler,
        sources: data.sources ?? [],
        blocks,
        model,
        padId: tokenizer.padId,
        device,
        compute: precisionOf(recipe).compute,
        signal,
        say: (text) => emit({ type: "message", level: "info", text }),
      }),
    );
  manualSeed(recipe.seed);
  model.train();
  const { trainable, total } = countParameters(model);
  if (trainable === 0)
    throw new UserError("nothing is trainable: check finetuning_type and the freeze_* keys");
  const dtype = model.model.embed_tokens.weight?.dtype ?? config.dtype ?? "float32";
  sayModel({ trainable, total, device, dtype }, recipe, emit);
  const checkpointing = settleCheckpointing(model, given, device, emit);
  if (stream === undefined) await tokenizer.release(); // a stream encodes as long as the run lasts
  await giveBackMemory();
  return {
    recipe: given,
    model,
    weights,
    tokenizer,
    blocks,
    stream,
    sampler,
    located: recipe,
    grown: start !== undefined,
    evaluation,
    summary,
    device,
    checkpointing,
    resume,
    methods,
  };
}

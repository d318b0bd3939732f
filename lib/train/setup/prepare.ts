// From a recipe to what a trainer needs: tokenizer, blocks, device, model with its trainable parts. The order of
// random draws is LLaMA-Factory's: the seed, then the adapter, then the seed again.
import type { Weights } from "../../assembly/adapters.js";
import { fetchModelFiles } from "../../assembly/fetched.js";
import {
  type BaseModelOptions,
  buildModel,
  chooseDevice,
  loadBase,
  modelConfig,
  trainedTables,
} from "../../assembly/model.js";
import { precisionOf, requireAutocast } from "../../assembly/precision.js";
import { openVocabulary } from "../../assembly/vocabulary/new-tokens.js";
import { type LoadedRecipe, packsBySource, type Recipe } from "../../config/index.js";
import {
  type BlockStream,
  type DataSummary,
  type DatasetHub,
  type EvaluationSet,
  holdsTokens,
  outsideNotes,
  prepareTrainingData,
  type SourceSampler,
  type TokenBlocks,
  type Tokenizer,
  type TrainingData,
} from "../../data/index.js";
import { UserError } from "../../errors.js";
import type { Emit } from "../../events.js";
import { datasetFetcher } from "../../hub/index.js";
import { documentArrangement, type RunOrder, type TrainingMethod } from "../../methods/index.js";
import { countParameters } from "../../models/causal-model.js";
import type { FamilyModel } from "../../models/index.js";
import { setPassage } from "../../step/passage.js";
import type { Checkpointing } from "../../step/recompute.js";
import { type Device, isHost, manualSeed, setDeterministic, setFloat32Precision } from "../../torch/index.js";
import { runSampler } from "../batches/run-sampler.js";
import { batchesAtOnce, resolveCheckpointing } from "../estimate/choose-checkpointing.js";
import { LossCurriculum } from "../methods/loss-curriculum.js";
import { recipeMethods } from "../methods/recipe-methods.js";
import { oneProcess, type Strategy } from "../strategy/strategy.js";
import { deviceNotes } from "./device-notes.js";
import { releaseMemory } from "./free-memory.js";
import { sayKernels } from "./fused-kernels.js";
import { findResume } from "./resume.js";
import { inputFacts } from "./same-everywhere.js";
import { StreamedWeights } from "./streamed-weights.js";
import { attentionLine, computingOf, productsLine, slowness } from "./what-computes.js";

/** Everything that a trainer works with. */
export interface Prepared {
  /** The recipe as it was given. */
  recipe: Recipe;
  /** The recipe with folders of this machine in place of names on a hub. */
  located: Recipe;
  /** The model, whose trained part is chosen. */
  model: FamilyModel;
  /** Writes what was trained, and reads it from a checkpoint. */
  weights: Weights;
  /** The tokenizer, with what was added to it. */
  tokenizer: Tokenizer;
  /** The vocabulary has more entries than the recipe's model. */
  grown: boolean;
  /** The training blocks. */
  blocks: TokenBlocks;
  /** What is evaluated on; empty for nothing. */
  evaluation: readonly EvaluationSet[];
  /** With `streaming`, the steps to train on. */
  stream: BlockStream | undefined;
  /** The order of blocks, where the recipe asks for its own. */
  sampler: SourceSampler | undefined;
  /** What was made of the corpus, in figures. */
  summary: DataSummary;
  /** Where the model is. */
  device: Device;
  /** What the backward pass computes again. */
  checkpointing: Checkpointing;
  /** How many micro-batches are computed as one. */
  batchesAtOnce: number;
  /** The checkpoint to go on from. */
  resume: string | undefined;
  /** What the recipe adds for incremental pre-training. */
  methods: readonly TrainingMethod[];
}

/** What every part of the preparation is handed. */
interface Surroundings {
  readonly hub: DatasetHub;
  readonly emit: Emit;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads the tokenizer, packs the data, loads the model and makes it trainable.
 * @throws UserError for anything wrong with what the recipe names
 */
export async function prepare(
  loaded: LoadedRecipe,
  emit: Emit,
  signal?: AbortSignal,
  strategy: Strategy = oneProcess,
): Promise<Prepared> {
  const given = loaded.recipe;
  for (const text of loaded.notes) emit({ type: "message", level: "info", text });
  const around = { hub: datasetFetcher({ keys: given, onEvent: emit }), emit, signal };
  const resume = await findResume(given, emit, strategy); // together: each process reads a share of the files
  const { recipe, tokenizer, start, data } = await strategy.inTurn("data", () =>
    readInputs(given, resume, around, strategy),
  );
  const sampler = drawOrder(recipe, data, emit, strategy.batchRanks);
  const building = {
    name: given.model_name_or_path,
    device: chooseDevice(recipe, emit),
    resume,
    start,
    isDividedLater: strategy.isDivided && !computesFirst(recipe),
  };
  const { device } = building;
  const surroundings = { ...around, tokenizer, data, sampler, strategy, given };
  const parts = await makeModel(recipe, building, surroundings);
  const { model } = parts;
  const memory = settleMemory(model, given, recipe, device, emit);
  if (data.stream === undefined) await tokenizer.release(); // a stream encodes as long as the run lasts
  await releaseMemory();
  return {
    recipe: given,
    located: recipe,
    ...parts,
    tokenizer,
    grown: start !== undefined,
    blocks: data.blocks,
    evaluation: data.evaluation,
    stream: data.stream,
    sampler,
    summary: data.summary,
    device,
    ...memory,
    resume,
  };
}

/** Says what computes, and what a step recomputes or computes as one: both follow from the memory that is free. */
function settleMemory(
  model: FamilyModel,
  given: Recipe,
  recipe: Recipe,
  device: Device,
  emit: Emit,
): Pick<Prepared, "checkpointing" | "batchesAtOnce"> {
  sayModel(model, recipe, device, emit);
  sayKernels(device, (line) => emit({ type: "message", ...line }));
  const checkpointing = resolveCheckpointing(model, given, device, emit);
  const together = batchesAtOnce(model, given, checkpointing, device, emit);
  for (const text of deviceNotes(given, device)) emit({ type: "message", level: "info", text });
  return { checkpointing, batchesAtOnce: together };
}

/** Whether the model is scored with, or its weights are copied, before training: then they are what they will be in it. */
function computesFirst(recipe: Recipe): boolean {
  const {
    eval_domains: domains,
    forgetting_report: report,
    curriculum_by: order,
    ewc_lambda: spring,
  } = recipe;
  return domains !== null || report || order === "loss" || spring !== null;
}

/** What a run reads before it builds anything: what the first process fetches and tokenizes, the others find. */
async function readInputs(
  given: Recipe,
  resume: string | undefined,
  around: Surroundings,
  strategy: Strategy,
): Promise<Inputs> {
  const { hub, emit, signal } = around;
  const recipe = await fetchModelFiles(given, emit, signal);
  const config = modelConfig(recipe, () => {}); // fail on a wrong model before hours of tokenizing
  const { tokenizer, start } = await openVocabulary(recipe, emit, { resume, hub, signal });
  if (tokenizer.vocabSize > config.vocab_size && start === undefined) {
    throw new UserError(
      `${recipe.model_name_or_path}: the tokenizer has ${tokenizer.vocabSize} tokens and the model's embedding ${config.vocab_size} rows; use the tokenizer that belongs to the model, or set resize_vocab: true`,
    );
  }
  requireAutocast(recipe, config.dtype, trainedTables(recipe, start));
  return { recipe, tokenizer, start, data: await readData(recipe, tokenizer, around, strategy) };
}

interface Inputs {
  readonly recipe: Recipe;
  readonly tokenizer: Tokenizer;
  readonly start: BaseModelOptions["start"];
  readonly data: TrainingData;
}

/** The blocks of a recipe, with what is worth saying of them. */
async function readData(
  recipe: Recipe,
  tokenizer: Tokenizer,
  { hub, emit, signal }: Surroundings,
  { batchRank: rank, batchRanks: size }: Strategy,
): Promise<TrainingData> {
  const waiting = (name: string) =>
    `dataset: ${name}: another process is tokenizing it; waiting for its tokens`;
  if (recipe.tokenized_path === null || !holdsTokens(recipe.tokenized_path)) {
    for (const text of outsideNotes(recipe)) emit({ type: "message", level: "info", text });
  }
  const data = await prepareTrainingData(recipe, tokenizer, {
    signal,
    hub,
    bySource: packsBySource(recipe) && (documentArrangement(recipe) ?? true),
    share: { rank, size },
    onWait: (name) => emit({ type: "message", level: "info", text: waiting(name) }),
  });
  const { blocks, summary, evaluation, notes, warnings = [] } = data;
  for (const text of warnings) emit({ type: "message", level: "warning", text });
  for (const text of notes) emit({ type: "message", level: "info", text });
  if (recipe.do_eval && evaluation.length === 0)
    throw new UserError(
      "do_eval: there is nothing to evaluate on; set eval_dataset to a name in dataset_info.json, or val_size to a share of the data",
    );
  const ids = Array.from(blocks.get(0));
  emit({ type: "data", summary, example: { ids, text: tokenizer.decode(ids) } });
  return data;
}

/** The order of blocks, where the recipe asks for its own. */
function drawOrder(recipe: Recipe, data: TrainingData, emit: Emit, ranks: number): RunOrder | undefined {
  const { sampler, notes = [] } = runSampler(recipe, data, ranks) ?? {};
  for (const text of notes) emit({ type: "message", level: "info", text });
  return sampler;
}

/** The model with its trainable parts, and the methods of the recipe; the random state is the seed's before and after. */
async function makeModel(
  recipe: Recipe,
  building: BaseModelOptions,
  around: Surroundings & {
    tokenizer: Tokenizer;
    data: TrainingData;
    sampler: RunOrder | undefined;
    strategy: Strategy;
    given: Recipe;
  },
): Promise<Pick<Prepared, "model" | "weights" | "methods">> {
  const { device, start } = building;
  const { hub, emit, signal, tokenizer, data, sampler, strategy: ranks, given } = around;
  if (recipe.tf32) setFloat32Precision("high");
  setDeterministic(recipe.full_determinism);
  manualSeed(recipe.seed);
  const { model, weights, methods } = buildModel(recipe, building, emit);
  if (ranks.size > 1) {
    const { resume } = building;
    await ranks.agree("inputs", inputFacts({ recipe: given, blocks: data.blocks, model, resume }));
  }
  const reference = (): FamilyModel => {
    manualSeed(recipe.seed); // what a fresh model drew, this one draws too
    const config = modelConfig(recipe, () => {});
    return loadBase(recipe, config, { name: "", device, resume: undefined, start });
  };
  methods.unshift(
    ...(await recipeMethods({ recipe, model, reference, tokenizer, hub, device, emit, signal, ranks })),
  );
  if (recipe.curriculum_by === "loss" && sampler !== undefined)
    methods.push(
      new LossCurriculum({
        order: sampler,
        sources: data.sources ?? [],
        blocks: data.blocks,
        model,
        padId: tokenizer.padId,
        device,
        compute: precisionOf(recipe).compute,
        signal,
        ranks,
        say: (text) => emit({ type: "message", level: "info", text }),
      }),
    );
  if (recipe.layer_offload === "disk") setPassage(model, new StreamedWeights(model));
  manualSeed(recipe.seed);
  model.train();
  return { model, weights, methods };
}

/**
 * The model's event, with what computes on the processor; and a warning where that is slower than it need be.
 * @throws UserError where nothing is trainable
 */
function sayModel(model: FamilyModel, recipe: Recipe, device: Device, emit: Emit): void {
  const { trainable, total } = countParameters(model);
  if (trainable === 0)
    throw new UserError("nothing is trainable: check finetuning_type and the freeze_* keys");
  const { weight } = model.inputEmbedding;
  const trained = weight?.requiresGrad === true && recipe.finetuning_type !== "lora";
  const stored = weight?.dtype ?? model.config.dtype ?? "float32"; // until it is divided
  const dtype = trained ? (precisionOf(recipe).trainable ?? stored) : stored;
  const said = { trainable, total, device, dtype, attention: attentionLine(recipe, isHost(device)) };
  if (!isHost(device)) {
    emit({ type: "model", ...said });
    return;
  }
  const computing = computingOf(recipe, dtype);
  emit({ type: "model", ...said, products: productsLine(computing) });
  const text = slowness(computing);
  if (text !== undefined) emit({ type: "message", level: "warning", text });
}

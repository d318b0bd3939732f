// The sizes that a run's memory follows from (peak.ts has the formulas): of a model whose trained part is chosen, and the
// recipe. Nothing is measured and no value is read, so the model may be on meta.

import { loraConfig } from "../../assembly/adapters.js";
import { attentionKernel } from "../../assembly/model.js";
import { optimizerOf } from "../../assembly/optimizer.js";
import { precisionOf } from "../../assembly/precision.js";
import { trainPart } from "../../assembly/trained-part.js";
import { contextParts, type Recipe, shardingOf } from "../../config/index.js";
import { buildEmptyModel, type FamilyModel, familyOf, type ModelConfig } from "../../models/index.js";
import { optimizerBytes } from "../../optim/index.js";
import { addLora, LoraLinear } from "../../peft/index.js";
import type { Checkpointing } from "../../step/recompute.js";
import { bytesPerElement, type DType, isHost, type Tensor } from "../../torch/index.js";
import { type MemoryEstimate, peakMemory, type RunSizes, type ShardingSizes } from "./peak.js";

function storageOf(model: FamilyModel, recipe: Recipe): Pick<RunSizes, "stream" | "compute" | "input"> {
  const embedding = [...model.inputEmbedding.parameters()][0]?.dtype ?? "float32";
  const { compute } = precisionOf(recipe);
  return {
    stream: bytesPerElement(embedding),
    compute: bytesPerElement((compute ?? embedding) as DType),
    input: model.config.products === "fp8" ? 1 : undefined,
  };
}

/** Bytes a token of the masks that one block's adapters keep of their dropout. */
function maskBytes({ layers: [block] }: FamilyModel): number {
  const adapters = [...(block?.namedModules() ?? [])].flatMap(([, module]) =>
    module instanceof LoraLinear && module.dropout > 0 ? [module] : [],
  );
  return adapters.reduce((sum, { base_layer }) => sum + base_layer.inFeatures, 0);
}

/** Probabilities in float32 and as they are multiplied, what is hidden, and their gradients on the way. */
function scoreBytes(model: FamilyModel, recipe: Recipe): number {
  if (attentionKernel(recipe) !== "plain") return 0;
  const { heads } = familyOf(model.config).blockShape(model.config);
  const { compute } = storageOf(model, recipe);
  return heads * recipe.cutoff_len * (4 + (compute < 4 ? compute : 0) + 1);
}

/** A recipe's model without its weights, its trained part chosen. Tokens that the recipe adds are left out. */
export function shapesOf(recipe: Recipe, config: ModelConfig): FamilyModel {
  const model = buildEmptyModel(config, { dtype: config.dtype ?? "float32" });
  chooseTrained(model, recipe);
  return model;
}

/** Makes a model's part that a recipe trains trainable. */
export function chooseTrained(model: FamilyModel, recipe: Recipe): void {
  if (recipe.finetuning_type === "lora") addLora(model, { ...loraConfig(recipe, model.config), init: true });
  else trainPart(model, recipe, { dtype: precisionOf(recipe).trainable });
}

/** Blocks that something must be kept of: those from the first trained one on. */
export function keptBlocks(model: FamilyModel): number {
  const isTrained = (parameters: Iterable<{ requiresGrad: boolean }>) =>
    [...parameters].some(({ requiresGrad }) => requiresGrad);
  if (isTrained(model.inputEmbedding.parameters())) return model.layers.length;
  const first = model.layers.findIndex((layer) => isTrained(layer.parameters()));
  return first < 0 ? 0 : model.layers.length - first;
}

/** Processes of a run: what started this one says how many, else the recipe. */
export function processesOf({ nproc_per_node }: Recipe): number {
  return Number(process.env["WORLD_SIZE"]?.trim() || (nproc_per_node ?? 1));
}

/** Tokens of a row that one process computes with. */
export function tokensOfRow(recipe: Recipe): number {
  const parts = contextParts(recipe);
  return parts === 1 ? recipe.cutoff_len : 2 * Math.ceil(recipe.cutoff_len / (2 * parts));
}

/**
 * Bytes a token of what goes around processes that share rows: keys and values that are here and those that come, and
 * gradients of both in float32, which are made, come and go on.
 */
function passedBytes(model: FamilyModel, recipe: Recipe): number {
  if (contextParts(recipe) === 1) return 0;
  const { kvHeads, headDim } = familyOf(model.config).blockShape(model.config);
  return 2 * kvHeads * headDim * (2 * storageOf(model, recipe).compute + 3 * 4);
}

const bytesOf = (parameters: readonly Tensor[]): number =>
  parameters.reduce((sum, parameter) => sum + parameter.numel() * bytesPerElement(parameter.dtype), 0);
const learningOf = (parameters: readonly Tensor[]): Tensor[] =>
  parameters.filter(({ requiresGrad }) => requiresGrad);

/** What is divided, and the largest of the units that are gathered: a block, or what is before and behind them. */
function shardingSizes(model: FamilyModel, recipe: Recipe): ShardingSizes | undefined {
  const sharding = shardingOf(recipe);
  const processes = processesOf(recipe);
  if (sharding === undefined || processes === 1) return undefined;
  const blocks = model.layers.map((block) => block.parameters());
  const inBlocks = new Set(blocks.flat());
  const units = [...blocks, model.parameters().filter((parameter) => !inBlocks.has(parameter))];
  const { forward, backward } = sharding.prefetch;
  return {
    processes,
    isFull: sharding.level === "full",
    units: forward || backward ? 2 : 1,
    unit: Math.max(...units.map(bytesOf)),
    trainedUnit: Math.max(...units.map((unit) => bytesOf(learningOf(unit)))),
  };
}

/** What is in memory of weights that stay in their file: what trains, the tables, and two blocks. */
function streamedBytes(model: FamilyModel): number {
  const blocks = model.layers.map((block) => block.parameters());
  const inBlocks = new Set(blocks.flat());
  const frozen = blocks.map((block) => bytesOf(block) - bytesOf(learningOf(block)));
  const around = model.parameters().filter((parameter) => !inBlocks.has(parameter));
  return bytesOf(learningOf(blocks.flat())) + bytesOf(around) + 2 * Math.max(...frozen);
}

/** The sizes of a run. */
function sizesOf(model: FamilyModel, recipe: Recipe): RunSizes {
  const learning = learningOf(model.parameters());
  const { kind, settings } = optimizerOf(recipe);
  const forms = [...model.namedParameters()].flatMap(([name, { requiresGrad, shape, dtype }]) =>
    requiresGrad ? [{ name, shape, dtype }] : [],
  );
  const { state: optimizer, working } = optimizerBytes(kind, forms, settings);
  const sharding = shardingSizes(model, recipe);
  const head = model.headWeight;
  return {
    ...storageOf(model, recipe),
    tokens: recipe.per_device_train_batch_size * tokensOfRow(recipe),
    vocabulary: model.config.vocab_size,
    block: familyOf(model.config).blockShape(model.config),
    blocks: keptBlocks(model),
    masks: maskBytes(model),
    scores: scoreBytes(model, recipe),
    passed: passedBytes(model, recipe),
    weights: recipe.layer_offload === "disk" ? streamedBytes(model) : bytesOf(model.parameters()),
    trained: bytesOf(learning),
    optimizer,
    // of parts; and what their processes add up, in float64, which is as many numbers as the whole state
    working:
      sharding === undefined
        ? working
        : working / sharding.processes + (kind.makeDivided ? 2 * optimizer : 0),
    head: head && { isTrained: head.requiresGrad, bytes: bytesPerElement(head.dtype) },
    sharding,
    isStreaming: recipe.streaming,
    isElsewhere: recipe.activation_offload === "disk",
  };
}

/** The peak of a step with a mode of gradient checkpointing. */
export function estimateMemory(
  model: FamilyModel,
  recipe: Recipe,
  mode: Checkpointing,
  device?: string,
): MemoryEstimate {
  const sizes = sizesOf(model, recipe);
  const isElsewhere = sizes.isElsewhere || (recipe.activation_offload === "host" && !isHost(device ?? "cpu"));
  return peakMemory({ ...sizes, isElsewhere, device }, mode);
}

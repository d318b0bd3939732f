// What training takes in memory on the processor, at its peak: from the shapes of a model whose trained part is chosen,
// and the recipe. Nothing is measured and no value is read, so the model may be on meta.

import { loraConfig } from "../../assembly/adapters.js";
import { optimizerOf } from "../../assembly/optimizer.js";
import { precisionOf } from "../../assembly/precision.js";
import { trainPart } from "../../assembly/trained-part.js";
import type { Recipe } from "../../config/index.js";
import { buildEmptyModel, type FamilyModel, familyOf, type ModelConfig } from "../../models/index.js";
import { optimizerBytes } from "../../optim/index.js";
import { addLora, LoraLinear } from "../../peft/index.js";
import { CHUNK_BYTES, TRAINED_CHUNK_BYTES } from "../../step/loss.js";
import type { Checkpointing } from "../../step/recompute.js";
import { bytesPerElement, type DType, type Tensor } from "../../torch/index.js";

/** Bytes at the peak of a step. */
export interface MemoryEstimate {
  /** Node, libtorch, what tokenizing left behind. */
  readonly runtime: number;
  /** All parameters: pages of the model's file, and what is trained. */
  readonly weights: number;
  /** Gradients of what is trained. */
  readonly gradients: number;
  /** The optimizer's state: AdamW's two moments. */
  readonly optimizer: number;
  /** What the backward pass needs of the forward pass. */
  readonly activations: number;
  /** The head, a chunk of logits at a time. */
  readonly loss: number;
  /** All of these together. */
  readonly total: number;
}

/**
 * Node and libtorch with their libraries' code and threads; an entry of the vocabulary in a tokenizer that is at work, and
 * what it leaves behind once the tokenizer is given up. All measured, as resident memory before the first step.
 */
const RUNTIME = 218e6;
const PER_TOKEN_AT_WORK = 1870;
const PER_TOKEN_GIVEN_UP = 400;

/** What the pool of host buffers keeps however little is live: native/tensors/host_allocator.cc. */
const POOL = 256 << 20;

/** Sizes that a block's activations follow from; elements a token. */
interface Widths {
  heads: number;
  hidden: number;
  queries: number;
  keys: number;
  intermediate: number;
}

function widthsOf({ config }: FamilyModel): Widths {
  const { heads, kvHeads, headDim, hidden, intermediate } = familyOf(config).blockShape(config);
  return { heads, hidden, queries: heads * headDim, keys: kvHeads * headDim, intermediate };
}

interface Storage {
  /** Bytes of an element of the stream between blocks, and of what products take and give. */
  stream: number;
  compute: number;
}

function storageOf(model: FamilyModel, recipe: Recipe): Storage {
  const embedding = [...model.inputEmbedding.parameters()][0]?.dtype ?? "float32";
  const { compute } = precisionOf(recipe);
  return { stream: bytesPerElement(embedding), compute: bytesPerElement((compute ?? embedding) as DType) };
}

/**
 * Bytes a token that one block keeps for its backward pass: the inputs of both norms, what the products take (once for
 * all that share an input, unless a cast makes a copy for each), queries and keys before and after their norms, values,
 * attention's result, and gate, up and their product.
 */
function keptByBlock({ hidden, queries, keys, intermediate }: Widths, { stream, compute }: Storage): number {
  const copies = stream === compute ? 2 : 5; // q, k, v and gate, up
  return 2 * hidden * stream + compute * (copies * hidden + 3 * queries + 3 * keys + 3 * intermediate);
}

/** Bytes a token of what selective checkpointing saves of a block, and of what it recomputes, one block at a time. */
function keptSelectively({ heads, hidden, queries, keys, intermediate }: Widths, storage: Storage) {
  const { stream, compute } = storage;
  const attended = compute * queries + 4 * heads; // with each head's log of the sum of exponentials
  const products = compute * (hidden + 2 * intermediate); // o, gate, up
  const input = stream * hidden;
  const remade = stream * hidden + compute * (2 * hidden + 2 * queries + 3 * keys + intermediate);
  return { kept: input + products + attended, remade };
}

/** Bytes a token of the masks that one block's adapters keep of their dropout. */
function maskBytes({ layers: [block] }: FamilyModel): number {
  const adapters = [...(block?.namedModules() ?? [])].flatMap(([, module]) =>
    module instanceof LoraLinear && module.dropout > 0 ? [module] : [],
  );
  return adapters.reduce((sum, { base_layer }) => sum + base_layer.inFeatures, 0);
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
  else trainPart(model, recipe, precisionOf(recipe).trainable);
}

/** Blocks that something must be kept of: those from the first trained one on. */
export function keptBlocks(model: FamilyModel): number {
  const isTrained = (parameters: Iterable<{ requiresGrad: boolean }>) =>
    [...parameters].some(({ requiresGrad }) => requiresGrad);
  if (isTrained(model.inputEmbedding.parameters())) return model.layers.length;
  const first = model.layers.findIndex((layer) => isTrained(layer.parameters()));
  return first < 0 ? 0 : model.layers.length - first;
}

/** Bytes that wait for the backward pass, and those of the block that is under way. */
function activationBytes(model: FamilyModel, recipe: Recipe, mode: Checkpointing): number {
  const tokens = recipe.per_device_train_batch_size * recipe.cutoff_len;
  const [widths, storage] = [widthsOf(model), storageOf(model, recipe)];
  const blocks = keptBlocks(model);
  // gradients on their way through one block: of gate, up and their product, of queries, keys and values
  const passing =
    tokens * storage.compute * (3 * widths.intermediate + 2 * widths.queries + 2 * widths.hidden);
  const masks = tokens * maskBytes(model);
  const whole = tokens * keptByBlock(widths, storage) + masks;
  if (mode === false) return blocks * whole + passing;
  const { kept, remade } = keptSelectively(widths, storage);
  const each = tokens * (mode === "selective" ? kept : widths.hidden * storage.stream);
  const again = mode === "selective" ? tokens * remade + masks : whole;
  // a block on its way to the disk or back is there as a tensor and as bytes
  const waiting = recipe.activation_offload === "disk" ? 2 * Math.min(1, blocks) : blocks;
  return waiting * each + Math.min(1, blocks) * again + passing;
}

/** The peak of a step with a mode of gradient checkpointing. */
export function estimateMemory(model: FamilyModel, recipe: Recipe, mode: Checkpointing): MemoryEstimate {
  const bytesOf = (parameters: readonly Tensor[]) =>
    parameters.reduce((sum, parameter) => sum + parameter.numel() * bytesPerElement(parameter.dtype), 0);
  const learning = model.parameters().filter(({ requiresGrad }) => requiresGrad);
  const [weights, gradients] = [bytesOf(model.parameters()), bytesOf(learning)];
  const { kind, settings } = optimizerOf(recipe);
  const { state: optimizer, working } = optimizerBytes(kind, learning, settings);
  const activations = activationBytes(model, recipe, mode);
  const loss = lossBytes(model, recipe);
  const perToken = recipe.streaming ? PER_TOKEN_AT_WORK : PER_TOKEN_GIVEN_UP;
  const runtime = RUNTIME + perToken * model.config.vocab_size;
  // what is trained, its gradients and the optimizer's state stay; a step's two phases take turns
  const live = 2 * gradients + optimizer + Math.max(activations + loss, working);
  const total = runtime + (weights - gradients) + Math.max(POOL, live);
  return { runtime, weights, gradients, optimizer, activations, loss, total };
}

/** Rows of a trained table whose gradients exist beside it: native/kernels/linear_cross_entropy.cc. */
const TABLE_ROWS = 8192;

/**
 * A chunk of logits, which become gradients in their place, and the hidden states with theirs. A trained table has a
 * narrow copy meanwhile, and gradients of some rows; a narrow one, a wide gradient twice. Under an adapter of the head
 * all logits are kept.
 */
function lossBytes(model: FamilyModel, recipe: Recipe): number {
  const { compute } = storageOf(model, recipe);
  const { vocab_size, hidden_size } = model.config;
  const tokens = recipe.per_device_train_batch_size * recipe.cutoff_len;
  const rows = 3 * tokens * hidden_size * compute;
  const weight = model.headWeight;
  if (weight === undefined) return rows + 2 * 4 * tokens * vocab_size;
  const logits = (most: number) => Math.min(most, compute * tokens * vocab_size);
  if (!weight.requiresGrad) return rows + logits(CHUNK_BYTES);
  const table = vocab_size * hidden_size;
  if (bytesPerElement(weight.dtype) < 4) return rows + logits(CHUNK_BYTES) + 8 * table;
  const narrow = compute < 4 ? compute * table : 0;
  return (
    rows + logits(TRAINED_CHUNK_BYTES) + narrow + compute * hidden_size * Math.min(TABLE_ROWS, vocab_size)
  );
}

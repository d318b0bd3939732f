// What training takes in memory on the processor, at its peak: from the shapes of a model whose trained part is chosen,
// and the recipe. Nothing is measured and no value is read, so the model may be on meta.
import type { Recipe } from "../config/index.js";
import { addLora } from "../peft/index.js";
import { type Qwen3Config, Qwen3ForCausalLM } from "../qwen3/index.js";
import { bytesPerElement, type DType } from "../torch/index.js";
import { loraConfig } from "./adapters.js";
import { availableMemory } from "./available-memory.js";
import type { TrainEvent } from "./events.js";
import { CHUNK_BYTES } from "./loss.js";
import { precisionOf } from "./precision.js";
import { trainPart } from "./trained-part.js";

/** Bytes at the peak of a step. */
export interface MemoryEstimate {
  /** Node, libtorch, tokenizer. */
  readonly runtime: number;
  /** All parameters: pages of the model's file, and what is trained. */
  readonly weights: number;
  readonly gradients: number;
  /** AdamW's two moments. */
  readonly optimizer: number;
  /** What the backward pass needs of the forward pass. */
  readonly activations: number;
  /** The head, a chunk of logits at a time. */
  readonly loss: number;
  readonly total: number;
}

/**
 * Node and libtorch with their libraries' code and threads; an entry of the vocabulary in the tokenizer's tables. Both
 * measured, as resident memory before the first step.
 */
const RUNTIME = 218e6;
const PER_TOKEN_OF_VOCABULARY = 1870;

/** What the pool of host buffers keeps however little is live: native/host_allocator.cc. */
const POOL = 256 << 20;

/** Sizes that a block's activations follow from; elements a token. */
interface Widths {
  hidden: number;
  queries: number;
  keys: number;
  intermediate: number;
}

function widthsOf({ config: c }: Qwen3ForCausalLM): Widths {
  return {
    hidden: c.hidden_size,
    queries: c.num_attention_heads * c.head_dim,
    keys: c.num_key_value_heads * c.head_dim,
    intermediate: c.intermediate_size,
  };
}

interface Storage {
  /** Bytes of an element of the stream between blocks, and of what products take and give. */
  stream: number;
  compute: number;
}

function storageOf(model: Qwen3ForCausalLM, recipe: Recipe): Storage {
  const embedding = [...model.model.embed_tokens.parameters()][0]?.dtype ?? "float32";
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

/** A recipe's model without its weights, its trained part chosen. Tokens that the recipe adds are left out. */
export function shapesOf(recipe: Recipe, config: Qwen3Config): Qwen3ForCausalLM {
  const model = new Qwen3ForCausalLM(config, { dtype: config.dtype ?? "float32" });
  if (recipe.finetuning_type === "lora") addLora(model, { ...loraConfig(recipe), init: true });
  else trainPart(model, recipe, precisionOf(recipe).trainable);
  return model;
}

/** The peak of a step; `recomputes`: with gradient checkpointing, block by block. */
export function estimateMemory(model: Qwen3ForCausalLM, recipe: Recipe, recomputes: boolean): MemoryEstimate {
  const tokens = recipe.per_device_train_batch_size * recipe.cutoff_len;
  const [widths, storage] = [widthsOf(model), storageOf(model, recipe)];
  let [weights, trained] = [0, 0];
  for (const parameter of model.parameters()) {
    const bytes = parameter.numel() * bytesPerElement(parameter.dtype);
    weights += bytes;
    if (parameter.requiresGrad) trained += bytes;
  }
  const first = model.layers.findIndex((layer) =>
    layer.parameters().some(({ requiresGrad }) => requiresGrad),
  );
  const embeds = [...model.model.embed_tokens.parameters()].some(({ requiresGrad }) => requiresGrad);
  const blocks = first < 0 && !embeds ? 0 : model.layers.length - (embeds ? 0 : first);
  const block = tokens * keptByBlock(widths, storage);
  const inputs = blocks * tokens * widths.hidden * storage.stream;
  // gradients on their way through one block: of gate, up and their product, of queries, keys and values
  const passing =
    tokens * storage.compute * (3 * widths.intermediate + 2 * widths.queries + 2 * widths.hidden);
  const activations = (recomputes ? inputs + Math.min(1, blocks) * block : blocks * block) + passing;
  const loss = lossBytes(model, storage, tokens);
  const { vocab_size } = model.config;
  const runtime = RUNTIME + PER_TOKEN_OF_VOCABULARY * vocab_size;
  const live = 4 * trained + activations + loss;
  const total = runtime + (weights - trained) + Math.max(POOL, live);
  return { runtime, weights, gradients: trained, optimizer: 2 * trained, activations, loss, total };
}

/** A chunk's logits in float32, and twice in the computing dtype where that is another; of a table that trains a narrow copy and its gradient. */
function lossBytes(model: Qwen3ForCausalLM, { compute }: Storage, tokens: number): number {
  const { vocab_size, hidden_size } = model.config;
  const chunk = Math.min(CHUNK_BYTES, 4 * tokens * vocab_size);
  const trains = model.headWeight?.requiresGrad ?? false;
  const table = trains ? vocab_size * hidden_size * (compute + 8) : 0;
  const narrow = compute < 4 ? (chunk / 4) * compute * 2 : 0;
  return chunk + narrow + 3 * tokens * hidden_size * compute + table;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Says, before the first step, that a run will not fit into what the machine or its container has left. */
export function warnOfMemory(
  model: Qwen3ForCausalLM,
  recipe: Recipe,
  emit: (event: TrainEvent) => void,
  available: number = availableMemory() + process.memoryUsage.rss(),
): void {
  const { total } = estimateMemory(model, recipe, !recipe.disable_gradient_checkpointing);
  if (total <= available) return;
  const instead = [
    recipe.disable_gradient_checkpointing && "disable_gradient_checkpointing: false",
    recipe.per_device_train_batch_size > 1 && "a smaller per_device_train_batch_size",
    "a smaller cutoff_len",
    recipe.finetuning_type === "full" && "finetuning_type: lora",
  ].filter(Boolean);
  emit({
    type: "message",
    level: "warning",
    text: `this run needs about ${gigabytes(total)} of memory and there are ${gigabytes(available)}: it may be killed; try ${instead.join(", or ")}`,
  });
}

// What a step of training takes in memory on the processor, from sizes alone: the one model of it. A run's sizes are
// memory.ts's, a guess from a model's name is lib/init's. Pure: no tensor, no recipe.

import type { BlockShape } from "../../models/index.js";
import { chunkBytes } from "../../step/chunk-bytes.js";
import type { Checkpointing } from "../../step/recompute.js";

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

/** What is divided among how many processes, and what is whole while it is computed with. */
export interface ShardingSizes {
  readonly processes: number;
  /** The weights too. */
  readonly isFull: boolean;
  /** Units whose weights are there at a time: one, or two where the next is fetched early. */
  readonly units: 1 | 2;
  /** Bytes of the largest unit's weights, and of those in it that are trained. */
  readonly unit: number;
  readonly trainedUnit: number;
}

/** What a run's memory follows from. Bytes are of all that is named together. */
export interface RunSizes {
  /** Tokens of one forward and backward pass. */
  readonly tokens: number;
  /** Entries of the vocabulary. */
  readonly vocabulary: number;
  /** One block. */
  readonly block: BlockShape;
  /** Blocks that something must be kept of for the backward pass. */
  readonly blocks: number;
  /** Bytes of an element of the stream between blocks, and of what products take and give. */
  readonly stream: number;
  readonly compute: number;
  /** Bytes of an element of what layers keep of their inputs where that is another form than the input; left out: the very inputs. */
  readonly input?: number | undefined;
  /** Bytes a token of the scores that one block's attention holds for its backward pass; 0 for the flash kernel. */
  readonly scores?: number;
  /** Bytes a token of what one block's attention sends to and gets from other processes. */
  readonly passed?: number;
  /** Bytes a token of the masks that one block's adapters keep of their dropout. */
  readonly masks: number;
  /** Bytes of all parameters, and of the trained ones. */
  readonly weights: number;
  readonly trained: number;
  /** Bytes of the optimizer's state, and of what it takes beside that while it updates a parameter. */
  readonly optimizer: number;
  readonly working: number;
  /** The head's table: whether it is trained, and bytes of an element. Undefined under an adapter of it. */
  readonly head: { readonly isTrained: boolean; readonly bytes: number } | undefined;
  /** Where each of several processes keeps a part of the model. */
  readonly sharding?: ShardingSizes | undefined;
  /** Where it runs; the processor where it is not said. */
  readonly device?: string;
  /** Whether the tokenizer is at work as long as the run lasts. */
  readonly isStreaming?: boolean;
  /** Whether what waits for the backward pass is on the disk, or in another memory than the device's. */
  readonly isElsewhere?: boolean;
}

interface Widths {
  heads: number;
  hidden: number;
  queries: number;
  keys: number;
  intermediate: number;
}

type Storage = Pick<RunSizes, "stream" | "compute" | "input">;

function widthsOf({ heads, kvHeads, headDim, hidden, intermediate }: BlockShape): Widths {
  return { heads, hidden, queries: heads * headDim, keys: kvHeads * headDim, intermediate };
}

/**
 * Bytes a token that one block keeps for its backward pass: the inputs of both norms, what the products take (once for
 * all that share an input, unless a cast makes a copy for each), queries and keys before and after their norms, values,
 * attention's result, and gate, up and their product.
 */
function keptByBlock(widths: Widths, { stream, compute, input }: Storage): number {
  const { hidden, queries, keys, intermediate } = widths;
  // q, k, v and gate, up; then what o and down read, the second of which nobody else needs
  if (input !== undefined)
    return (
      2 * hidden * stream +
      input * (5 * hidden + queries + intermediate) +
      compute * (3 * queries + 3 * keys + 2 * intermediate)
    );
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

/** Bytes that wait for the backward pass, and those of the block that is under way. */
function activationBytes(sizes: RunSizes, mode: Checkpointing): number {
  const { tokens, blocks, masks: perToken, scores = 0, passed = 0, isElsewhere } = sizes;
  const widths = widthsOf(sizes.block);
  // gradients on their way through one block: of gate, up and their product, of queries, keys and values
  const products = 3 * widths.intermediate + 2 * widths.queries + 2 * widths.hidden;
  const passing = tokens * (sizes.compute * products + passed);
  const masks = tokens * (perToken + scores);
  const whole = tokens * keptByBlock(widths, sizes) + masks;
  if (mode === false) return blocks * whole + passing;
  const { kept, remade } = keptSelectively(widths, sizes);
  const each = tokens * (mode === "selective" ? kept : widths.hidden * sizes.stream);
  const again = mode === "selective" ? tokens * remade + masks : whole;
  // a block on its way there or back is there as a tensor and as bytes
  const waiting = isElsewhere ? 2 * Math.min(1, blocks) : blocks;
  return waiting * each + Math.min(1, blocks) * again + passing;
}

/** Rows of a trained table whose gradients exist beside it: native/kernels/linear/linear_cross_entropy.cc. */
const TABLE_ROWS = 8192;

/**
 * A chunk of logits, which become gradients in their place, and the hidden states with theirs. A trained table has a
 * narrow copy meanwhile, and gradients of some rows; a narrow one, a wide gradient twice. Under an adapter of the head
 * all logits are kept.
 */
function lossBytes({
  tokens,
  vocabulary,
  block: { hidden },
  compute,
  head,
  device = "cpu",
}: RunSizes): number {
  const rows = 3 * tokens * hidden * compute;
  if (head === undefined) return rows + 2 * 4 * tokens * vocabulary;
  const logits = (most: number) => Math.min(most, compute * tokens * vocabulary);
  if (!head.isTrained) return rows + logits(chunkBytes(device, false));
  const table = vocabulary * hidden;
  if (head.bytes < 4) return rows + logits(chunkBytes(device, false)) + 8 * table;
  const narrow = compute < 4 ? compute * table : 0;
  return (
    rows + logits(chunkBytes(device, true)) + narrow + compute * hidden * Math.min(TABLE_ROWS, vocabulary)
  );
}

/** Bytes of what is gathered for a pass beside a process's own part, and of gradients on their way to the others. */
function gatheredBytes({ weights, sharding }: RunSizes): { weights: number; gradients: number } {
  if (sharding === undefined) return { weights: 0, gradients: 0 };
  const { isFull, units, unit, trainedUnit } = sharding;
  // a unit's gradients, what is sent of them, and what comes for this process
  return { weights: isFull ? units * unit : weights, gradients: 3 * trainedUnit };
}

/** The peak of a step with a mode of gradient checkpointing; of each process, where there are several. */
export function peakMemory(sizes: RunSizes, mode: Checkpointing): MemoryEstimate {
  const processes = sizes.sharding?.processes ?? 1;
  const gradients = sizes.trained / processes;
  const optimizer = sizes.optimizer / processes;
  const own = sizes.weights / processes;
  const gathered = gatheredBytes(sizes);
  const activations = activationBytes(sizes, mode);
  const loss = lossBytes(sizes);
  const perToken = sizes.isStreaming ? PER_TOKEN_AT_WORK : PER_TOKEN_GIVEN_UP;
  const runtime = RUNTIME + perToken * sizes.vocabulary;
  // what is trained, its gradients and the optimizer's state stay; a step's two phases take turns
  const pass = activations + loss + gathered.weights + gathered.gradients;
  const live = 2 * gradients + optimizer + Math.max(pass, sizes.working);
  const total = runtime + (own - gradients) + Math.max(POOL, live);
  return { runtime, weights: own + gathered.weights, gradients, optimizer, activations, loss, total };
}

// How much memory each way of training needs, by the estimate of a run (train/estimate/peak.ts) over sizes that a model's
// number of parameters stands for, and which of them a machine has room for. Pure.

import { peakMemory, type RunSizes } from "../train/estimate/peak.js";

export type Method = "lora" | "freeze" | "full";
export const METHODS: readonly Method[] = ["lora", "freeze", "full"];

/** A key that lets LoRA's frozen weights take less memory than 16 bits each: in 4 bits, or left in the model's file. */
export type Saving = "quantization_bit" | "layer_offload";
/** Bytes of a weight of 4 bits, its share of the scales with it. */
const FOUR_BITS = 0.5 + 1 / 64 + 4 / (64 * 256);

export interface Machine {
  /** Bytes: the card's, where there is one, else the machine's. */
  readonly memory: number;
  readonly isCard: boolean;
  /** Whether bfloat16 is as fast as float32 or faster. */
  readonly bf16: boolean;
}

const GIB = 1024 ** 3;

/** Parameters that a model's name speaks of ("Qwen3-0.6B": 0.6e9), or undefined. */
export function parametersIn(name: string): number | undefined {
  const found = [...name.matchAll(/(?<![\d.])(\d+(?:\.\d+)?)\s*([BM])(?![a-z])/gi)].at(-1);
  return found === undefined ? undefined : Number(found[1]) * (found[2]?.toUpperCase() === "B" ? 1e9 : 1e6);
}

/** Decoders by their number of parameters: Qwen3's dense sizes, which others are near. Width, inside, blocks, heads. */
const DECODERS = [
  [0.596e9, 1024, 3072, 28, 16],
  [1.72e9, 2048, 6144, 28, 16],
  [4.02e9, 2560, 9728, 36, 32],
  [8.19e9, 4096, 12288, 36, 32],
  [14.8e9, 5120, 17408, 40, 40],
  [32.8e9, 5120, 25600, 64, 64],
] as const;
const [VOCABULARY, KV_HEADS, HEAD_DIM] = [151_936, 8, 128];
/** Of the recipe that is written: tokens of a pass, LoRA's rank, blocks that freeze trains. */
const [TOKENS, RANK, FROZEN_BUT] = [1024, 8, 2];

/** What a recipe of `init` would be for a model with this number of parameters, in bfloat16. */
function sizesOf(method: Method, parameters: number, saving?: Saving): RunSizes {
  const distance = (count: number) => Math.abs(Math.log(count / parameters));
  const nearest = DECODERS.reduce((best, one) => (distance(one[0]) < distance(best[0]) ? one : best));
  const [whole, hidden, intermediate, layers, heads] = nearest;
  const [queries, keys] = [heads * HEAD_DIM, KV_HEADS * HEAD_DIM];
  const blockWeights = 2 * hidden * (queries + keys) + 3 * hidden * intermediate;
  const blockRows = 2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + intermediate);
  const trained = { lora: RANK * blockRows * layers, freeze: FROZEN_BUT * blockWeights, full: parameters }[
    method
  ];
  const frozen = method === "lora" ? parameters : parameters - trained;
  const inBlocks = (parameters * layers * blockWeights) / whole;
  const kept = { quantization_bit: FOUR_BITS * inBlocks, layer_offload: 4 * blockWeights };
  const stored = saving === undefined ? 2 * frozen : 2 * (parameters - inBlocks) + kept[saving];
  return {
    tokens: TOKENS,
    vocabulary: VOCABULARY,
    block: { hidden, heads, kvHeads: KV_HEADS, headDim: HEAD_DIM, intermediate },
    blocks: method === "freeze" ? FROZEN_BUT : layers,
    stream: method === "full" ? 4 : 2,
    compute: 2,
    masks: 0,
    weights: stored + 4 * trained,
    trained: 4 * trained,
    optimizer: 8 * trained,
    working: 0,
    head: { isTrained: method === "full", bytes: method === "full" ? 4 : 2 },
  };
}

/** Bytes that training takes at the least: with the activations of whole blocks computed again. */
export function memoryNeeded(method: Method, parameters: number, saving?: Saving): number {
  return peakMemory(sizesOf(method, parameters, saving), true).total;
}

/**
 * What keeps a LoRA run within a machine's memory where its weights in 16 bits do not: 4 bits, else the model's file, which
 * a processor alone reads as it computes. undefined where neither is needed, or neither is enough.
 */
export function savingFor(
  method: Method,
  parameters: number | undefined,
  { memory, isCard }: Machine,
): Saving | undefined {
  if (method !== "lora" || parameters === undefined || memoryNeeded("lora", parameters) <= memory)
    return undefined;
  const ways: readonly Saving[] = isCard ? ["quantization_bit"] : ["quantization_bit", "layer_offload"];
  return ways.find((saving) => memoryNeeded("lora", parameters, saving) <= memory);
}

/** LoRA unless only something smaller fits; it keeps most of what the model knew, and needs least. */
export function suggestMethod(
  parameters: number | undefined,
  machine: Machine,
): { method: Method; fits: boolean } {
  const fits = parameters === undefined || memoryNeeded("lora", parameters) <= machine.memory;
  return { method: "lora", fits };
}

/** What a choice of method costs, for the question: "about 4 GiB of 24". */
export function costOf(
  method: Method,
  parameters: number | undefined,
  { memory, isCard }: Machine,
  saving?: Saving,
): string {
  const there = `${Math.round(memory / GIB)} GiB${isCard ? " on the card" : ""}`;
  if (parameters === undefined) return `of ${there}`;
  const needed = memoryNeeded(method, parameters, saving);
  const much = `about ${needed < 10 * GIB ? (needed / GIB).toFixed(1) : Math.round(needed / GIB)} GiB of ${there}`;
  return needed <= memory ? much : `${much}: too much`;
}

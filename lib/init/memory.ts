// How much memory each way of training needs, roughly, and which of them a machine has room for. Pure.

export type Method = "lora" | "freeze" | "full";
export const METHODS: readonly Method[] = ["lora", "freeze", "full"];

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

/** Activations, logits and the runtime, for blocks of 1,024 tokens. */
const BASE = 2.5 * GIB;

/**
 * Bytes that training takes: frozen weights in bfloat16 are 2 a parameter; a trained one is 4, its gradient 4, AdamW's
 * moments 8. LoRA of rank 8 trains about a hundredth; freeze, by default, the last two blocks.
 */
export function memoryNeeded(method: Method, parameters: number): number {
  const trained = { lora: 0.01, freeze: 0.08, full: 1 }[method] * parameters;
  return BASE + 2 * (parameters - trained) + 16 * trained;
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
export function costOf(method: Method, parameters: number | undefined, { memory, isCard }: Machine): string {
  const there = `${Math.round(memory / GIB)} GiB${isCard ? " on the card" : ""}`;
  if (parameters === undefined) return `of ${there}`;
  const needed = memoryNeeded(method, parameters);
  const much = `about ${needed < 10 * GIB ? (needed / GIB).toFixed(1) : Math.round(needed / GIB)} GiB of ${there}`;
  return needed <= memory ? much : `${much}: too much`;
}

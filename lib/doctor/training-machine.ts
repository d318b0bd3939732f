// What a new recipe should know of the machine: how much memory training has, and whether bfloat16 is worth its while.
import { cudaScript } from "../install/scripts.js";
import { cpu, memory } from "./probe.js";

/** The first card and its memory where there is one, else the machine's. */
export async function trainingMachine(): Promise<{ memory: number; isCard: boolean; bf16: boolean }> {
  const { askDriver } = await cudaScript();
  const card = askDriver()?.cards[0];
  if (card !== undefined && card.memoryMiB > 0) {
    const capability = Number.parseFloat(card.capability ?? "8.0");
    return { memory: card.memoryMiB * 1024 ** 2, isCard: true, bf16: capability >= 8 };
  }
  const { total, limit } = memory();
  const flags = cpu().flags ?? [];
  const bf16 = ["avx512_bf16", "amx_bf16", "bf16"].some((flag) => flags.includes(flag));
  return { memory: limit ?? total, isCard: false, bf16 };
}

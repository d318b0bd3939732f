// What a new recipe should know of the machine: how much memory training has, and whether bfloat16 is worth it.
import { cudaScript } from "../install/scripts.js";
import { processorKind } from "../torch/machine/processor.js";
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
  // 16-bit weights are widened as they are multiplied where there are no instructions for them: bf16 costs nothing there
  const kind = processorKind(cpu().flags ?? [], process.arch);
  return { memory: limit ?? total, isCard: false, bf16: kind !== "older" && kind !== "arm64" };
}

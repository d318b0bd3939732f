// NCCL between the cards of several processes: the optional library that has it (scripts/nccl.mjs builds it), and what the
// ranks tell each other before it may begin, because NCCL itself waits for ever or ends in a line that names nothing.
import { existsSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../errors.js";
import { accelerator, fromBytes, type Tensor } from "../torch/index.js";
import { addonPath } from "../torch/native.js";
import { distributedAddon, type GroupHandle } from "./addon.js";
import { PeerError } from "./errors.js";
import type { RunStore } from "./rendezvous.js";

const LIBRARY = "qwen_pt_nccl.so";
/** Each process sees one card (lib/torch/machine/rank-card.ts). */
const CARD = 0;
/** Bytes of what a rank tells the others about its card. */
const WIDTH = 512;
const FAULT = "!";

const libraryFile = (): string =>
  process.env["QWEN_PT_NCCL"] || path.join(path.dirname(addonPath() ?? ""), LIBRARY);

/** How many cards a run of several processes can have here: none where NCCL's library is not built. */
export function countCards(): number {
  if (process.platform !== "linux" || !existsSync(libraryFile())) return 0; // libtorch is not loaded for that
  return accelerator()?.count ?? 0;
}

/** The type of the devices whose tensors NCCL's library moves, or in a line why there is none here and what would bring it. */
export function cardLibrary(): { device: string } | { fault: string } {
  const file = libraryFile();
  if (!existsSync(file))
    return {
      fault: process.env["QWEN_PT_NCCL"]
        ? `QWEN_PT_NCCL: ${file} does not exist; mend the path or unset it`
        : "NCCL's library is not built; install nvidia-cuda-crt and nvidia-cuda-cccl beside torch, then run `node scripts/nccl.mjs` in the package's folder; or set use_cpu: true, or nproc_per_node: 1",
    };
  try {
    return { device: distributedAddon().openCards(file) };
  } catch (error) {
    const why = messageOf(error).split("\n")[0];
    return {
      fault: `NCCL's library does not load (${why}); build it again: \`node scripts/nccl.mjs\` in the package's folder`,
    };
  }
}

/** Two ranks that tell of the same card, in a line; undefined where each has its own. */
export function sharedCard(cards: readonly string[]): string | undefined {
  const first = new Map<string, number>();
  for (const [rank, card] of cards.entries()) {
    const other = first.get(card);
    if (other !== undefined)
      return `ranks ${other} and ${rank} are on one card (${card}), and NCCL takes one process a card; start as many processes as there are cards, or set use_cpu: true`;
    first.set(card, rank);
  }
  return undefined;
}

/**
 * Connects the ranks' cards.
 * @param gather the tensors of all ranks, stacked
 * @throws UserError on rank 0 where a rank has no card that NCCL can use, PeerError on the others
 */
export async function joinCards(
  { rank, store, group }: { rank: number; store: RunStore; group: GroupHandle },
  timeoutMs: number,
  gather: (value: Tensor) => Promise<Tensor>,
): Promise<void> {
  const told = await gatherTexts(await ownCard(), gather);
  const faulty = told.findIndex((text) => text.startsWith(FAULT));
  const fault = faulty < 0 ? sharedCard(told) : `rank ${faulty}: ${told[faulty]?.slice(FAULT.length)}`;
  if (fault !== undefined) throw rank === 0 ? new UserError(fault) : new PeerError(fault);
  await distributedAddon().joinCards(group, store.handle, CARD, timeoutMs);
}

/** What tells this rank's card from others, or why it has none. */
async function ownCard(): Promise<string> {
  const found = cardLibrary();
  if ("fault" in found) return FAULT + found.fault;
  try {
    return await distributedAddon().cardName(CARD);
  } catch (error) {
    return `${FAULT}its card cannot be used: ${messageOf(error).split("\n")[0]}`;
  }
}

/** Every rank's text, up to {@link WIDTH} bytes of it. */
async function gatherTexts(own: string, gather: (value: Tensor) => Promise<Tensor>): Promise<string[]> {
  const row = new Uint8Array(WIDTH);
  new TextEncoder().encodeInto(own, row);
  const input = fromBytes(row.buffer, [WIDTH], "uint8");
  const rows = await gather(input);
  const bytes = new Uint8Array(rows.toBytes());
  input.dispose();
  rows.dispose();
  return Array.from({ length: bytes.length / WIDTH }, (_, rank) =>
    new TextDecoder().decode(bytes.subarray(rank * WIDTH, (rank + 1) * WIDTH)).replaceAll("\0", ""),
  );
}

// Context parallelism: the ranks next to each other, cp_size at a time, have the same rows, and of each a part. Which part
// is lib/data/blocks/row-part.ts, what goes around the group lib/nn/ring-attention.ts. Nothing is done to
// gradients: what every rank's tokens give is added up over all of them, as their labels are.
import type { World } from "../../distributed/index.js";
import type { RankOf } from "./batch-shares.js";

/** The ranks that share rows with this one. */
export interface ContextGroup {
  /** Place of this one, and how many there are. */
  readonly place: number;
  readonly parts: number;
  /** The number by which attention knows them. */
  readonly ring: number;
  /** This group among its like, each with separate batches. */
  readonly among: RankOf;
}

/** The group of this rank where `parts` ranks share rows; undefined where each has its own. */
export function contextGroup(world: World, parts: number): ContextGroup | undefined {
  if (parts === 1) return undefined;
  const group = Math.floor(world.rank / parts);
  const place = world.rank % parts;
  const members = Array.from({ length: parts }, (_, at) => group * parts + at);
  return {
    place,
    parts,
    ring: world.openRing(members),
    among: { rank: group, size: world.size / parts },
  };
}

// The order of a whole run's blocks, from replay down to the block: is it replay's turn, which source's, which block of
// it. It depends on the recipe's seed and nothing else, so that a resumed run goes through it from the beginning to its
// place. It trains nothing, and knows neither recipes nor documents.

import type { BlockSource, SourceSampler } from "../data/index.js";
import { Passes } from "./passes.js";
import { Proportions } from "./proportions.js";

export interface RunOrderOptions {
  /** In the order of their blocks. */
  readonly sources: readonly BlockSource[];
  /** Tokens of a block. */
  size(block: number): number;
  /** Blocks of an epoch, as the trainer counts them. */
  readonly length: number;
  /** Share of the tokens that comes from sources with `replay`; undefined where there are none. */
  readonly replayRatio: number | undefined;
  readonly shuffle: boolean;
  readonly seed: number;
}

/** What a run draws of a source. */
export interface DrawnSource {
  readonly name: string;
  readonly blocks: number;
  readonly tokens: number;
  /** Times that its own blocks are gone through; need not be whole. */
  readonly epochs: number;
}

/** The blocks of an epoch: all new ones once, and as many to replay as their share asks for. */
export function epochLength(
  sources: readonly BlockSource[],
  size: (block: number) => number,
  replayRatio: number | undefined,
): number {
  const tokens = (replay: boolean) => {
    let sum = 0;
    for (const source of sources)
      if (source.replay === replay) for (const block of blocksOf(source)) sum += size(block);
    return sum;
  };
  const count = (replay: boolean) =>
    sources.reduce((sum, source) => sum + (source.replay === replay ? source.blocks : 0), 0);
  if (replayRatio === undefined) return count(false);
  const mean = tokens(true) / count(true);
  return count(false) + Math.round((replayRatio / (1 - replayRatio)) * (tokens(false) / mean));
}

/** A sampler of blocks that belong to sources. */
export class RunOrder implements SourceSampler {
  readonly length: number;
  readonly names: readonly string[];
  readonly #options: RunOrderOptions;
  #draws: Draws;

  constructor(options: RunOrderOptions) {
    this.#options = options;
    this.length = options.length;
    this.names = options.sources.map(({ name }) => name);
    this.#draws = new Draws(options);
  }

  order(epoch: number): Int32Array {
    const first = epoch * this.length;
    if (this.#draws.position > first) this.#draws = new Draws(this.#options);
    while (this.#draws.position < first) this.#draws.next();
    return Int32Array.from({ length: this.length }, () => this.#draws.next());
  }

  sourceOf(block: number): number {
    return this.#options.sources.findIndex(({ first, blocks }) => block < first + blocks);
  }

  /** What the first `blocks` blocks of the run are made of. */
  drawn(blocks: number): DrawnSource[] {
    const { sources, size } = this.#options;
    const draws = new Draws(this.#options);
    const counts = sources.map(() => ({ blocks: 0, tokens: 0 }));
    for (let i = 0; i < blocks; i++) {
      const block = draws.next();
      const count = counts[this.sourceOf(block)]!;
      count.blocks++;
      count.tokens += size(block);
    }
    return sources.map(({ name, blocks: own }, source) => ({
      name,
      ...counts[source]!,
      epochs: counts[source]!.blocks / own,
    }));
  }
}

/** The draws of a run, one after another. */
class Draws {
  /** Blocks drawn so far. */
  position = 0;
  readonly #size: (block: number) => number;
  readonly #replay: Passes | undefined;
  readonly #new: Passes;
  readonly #shares: Proportions | undefined;

  constructor({ sources, size, replayRatio, shuffle, seed }: RunOrderOptions) {
    this.#size = size;
    const passes = (replay: boolean) => {
      const blocks = sources.filter((source) => source.replay === replay).flatMap((s) => [...blocksOf(s)]);
      return new Passes(Int32Array.from(blocks), { shuffle, seed: streamSeed(seed, replay ? 1 : 0) });
    };
    this.#new = passes(false);
    if (replayRatio === undefined) return;
    this.#replay = passes(true);
    this.#shares = new Proportions([1 - replayRatio, replayRatio], meanSize(sources, size));
  }

  next(): number {
    this.position++;
    if (this.#shares === undefined || this.#replay === undefined) return this.#new.next();
    const turn = this.#shares.next();
    const block = turn === 0 ? this.#new.next() : this.#replay.next();
    this.#shares.add(turn, this.#size(block));
    return block;
  }
}

/** A seed for each stream of draws, apart from those of other streams and other recipes' seeds. */
function streamSeed(seed: number, stream: number): bigint {
  return (BigInt(stream) << 64n) | BigInt(seed);
}

function* blocksOf({ first, blocks }: BlockSource): Generator<number> {
  for (let block = first; block < first + blocks; block++) yield block;
}

function meanSize(sources: readonly BlockSource[], size: (block: number) => number): number {
  let sum = 0;
  let count = 0;
  for (const source of sources)
    for (const block of blocksOf(source)) {
      sum += size(block);
      count++;
    }
  return sum / count;
}

// The order of a whole run's blocks, from replay down to the block: is it replay's turn, which source's, which block of
// it. It depends on the recipe's seed and nothing else, so that a resumed run goes through it from the beginning to its
// place. It trains nothing, and knows neither recipes nor documents.

import type { BlockSource, SourceSampler } from "../../data/index.js";
import type { MixStage } from "./mixture.js";
import { Passes } from "./passes.js";
import { Proportions } from "./proportions.js";

/** What a {@link RunOrder} is made from. */
export interface RunOrderOptions {
  /** In the order of their blocks. */
  readonly sources: readonly BlockSource[];
  /** Tokens of a block. */
  size(block: number): number;
  /** Blocks of an epoch, as the trainer counts them. */
  readonly length: number;
  /** Share of the tokens that comes from sources with `replay`; undefined where there are none. */
  readonly replayRatio: number | undefined;
  /** The mixture of the others, from one block of the run on to the next; undefined draws from all as from one. */
  readonly mixture?: readonly MixStage[] | undefined;
  /** The easy ones first. */
  readonly curriculum?: Curriculum | undefined;
  /** Whether blocks come in a drawn order; else in their own. */
  readonly shuffle: boolean;
  /** Of every draw; an epoch adds its number. */
  readonly seed: number;
}

/** Blocks by how hard they are, and how many of them are open. */
export interface Curriculum {
  /** By block; the lowest is the easiest. */
  readonly scores: ArrayLike<number>;
  /** The share, in (0, 1], of a source's blocks that is open at a block of the run. */
  open(position: number): number;
}

/** What a run draws of a source. */
export interface DrawnSource {
  /** The dataset's name. */
  readonly name: string;
  /** Blocks that a run draws from it, repeated ones counted each time. */
  readonly blocks: number;
  /** Tokens of those blocks. */
  readonly tokens: number;
  /** Epochs over its own blocks; may be fractional. */
  readonly epochs: number;
}

/** The blocks of an epoch: as many as there are new ones, and as many to replay as their share asks for. */
export function epochLength(
  sources: readonly BlockSource[],
  size: (block: number) => number,
  replayRatio: number | undefined,
): number {
  const fresh = blocksOf(sources, false);
  if (replayRatio === undefined) return fresh.length;
  const mean = meanSize(blocksOf(sources, true), size);
  const replayed = ((replayRatio / (1 - replayRatio)) * fresh.length * meanSize(fresh, size)) / mean;
  return fresh.length + Math.round(replayed);
}

/** A sampler of blocks that belong to sources. */
export class RunOrder implements SourceSampler {
  /** Blocks of an epoch. */
  readonly length: number;
  /** The sources' names, in the order of their blocks. */
  readonly names: readonly string[];
  #options: RunOrderOptions;
  #draws: Draws;

  constructor(options: RunOrderOptions) {
    this.#options = options;
    this.length = options.length;
    this.names = options.sources.map(({ name }) => name);
    this.#draws = new Draws(options);
  }

  /** Block numbers of an epoch (from 0), in the order of training. */
  order(epoch: number): Int32Array {
    const first = epoch * this.length;
    if (this.#draws.position > first) this.#draws = new Draws(this.#options);
    while (this.#draws.position < first) this.#draws.next();
    return Int32Array.from({ length: this.length }, () => this.#draws.next());
  }

  /** Takes other scores for its curriculum, before anything is drawn. */
  rank(scores: ArrayLike<number>): void {
    const { curriculum } = this.#options;
    if (curriculum === undefined) return;
    this.#options = { ...this.#options, curriculum: { ...curriculum, scores } };
    this.#draws = new Draws(this.#options);
  }

  /** The place among `names` of a block's source. */
  sourceOf(block: number): number {
    return sourceOf(this.#options.sources, block);
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

/** The stream of draws that replay has. */
const REPLAY = 1;

/** The draws of a run, one after another. */
class Draws {
  /** Blocks drawn so far. */
  position = 0;
  readonly #options: RunOrderOptions;
  /** Replay's turn (1) or not (0). */
  readonly #replayTurn: Proportions | undefined;
  readonly #replay: Passes | undefined;
  /** One for each source where there is a mixture, else one for all of them. */
  readonly #passes: readonly Passes[];
  readonly #unit: number;
  #stage = -1;
  /** Whose turn it is in the mixture. */
  #turn: Proportions | undefined;

  constructor(options: RunOrderOptions) {
    const { sources, size, replayRatio, mixture } = options;
    this.#options = options;
    const fresh = blocksOf(sources, false);
    this.#unit = meanSize(fresh, size);
    this.#passes =
      mixture === undefined
        ? [this.#passesOf(fresh, 0)]
        : sources.map((source, index) => this.#passesOf(blocksOf([source], source.replay), index + 2));
    if (replayRatio === undefined) return;
    const replayed = blocksOf(sources, true);
    this.#replay = this.#passesOf(replayed, REPLAY);
    this.#replayTurn = new Proportions(
      [1 - replayRatio, replayRatio],
      meanSize([...fresh, ...replayed], size),
    );
  }

  next(): number {
    const replays = this.#replayTurn?.next() === 1;
    const block = replays ? this.#replay!.next() : this.#fresh();
    this.#replayTurn?.add(replays ? 1 : 0, this.#options.size(block));
    this.position++;
    return block;
  }

  #fresh(): number {
    const { mixture, curriculum, size } = this.#options;
    const open = curriculum?.open(this.position);
    if (mixture === undefined) return this.#passes[0]!.next(open);
    while (this.#stage + 1 < mixture.length && mixture[this.#stage + 1]!.first <= this.position)
      this.#turn = new Proportions(mixture[++this.#stage]!.shares, this.#unit);
    const source = this.#turn!.next();
    const block = this.#passes[source]!.next(open);
    this.#turn!.add(source, size(block));
    return block;
  }

  #passesOf(blocks: number[], stream: number): Passes {
    const { curriculum, shuffle, seed } = this.#options;
    const scores = curriculum?.scores;
    // a stable sort: blocks of one score stay in their order
    if (scores !== undefined && stream !== REPLAY) blocks.sort((a, b) => scores[a]! - scores[b]!);
    return new Passes(Int32Array.from(blocks), { shuffle, seed: streamSeed(seed, stream) });
  }
}

/** A seed for each stream of draws, apart from those of other streams and other recipes' seeds. */
function streamSeed(seed: number, stream: number): bigint {
  return (BigInt(stream) << 64n) | BigInt(seed);
}

function sourceOf(sources: readonly BlockSource[], block: number): number {
  return sources.findIndex(({ first, blocks }) => block < first + blocks);
}

/** The blocks of the sources that are replayed, or of those that are not. */
function blocksOf(sources: readonly BlockSource[], replay: boolean): number[] {
  return sources
    .filter((source) => source.replay === replay)
    .flatMap(({ first, blocks }) => Array.from({ length: blocks }, (_, i) => first + i));
}

function meanSize(blocks: readonly number[], size: (block: number) => number): number {
  return blocks.reduce((sum, block) => sum + size(block), 0) / blocks.length;
}

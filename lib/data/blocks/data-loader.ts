// Batches for loops that a program writes itself, from anything that can be iterated: arrays, token blocks, generators
// that read files or a network. A recipe's batches are train/batches.

import { UserError } from "../../errors.js";
import { NumpyGenerator } from "../random/numpy-generator.js";
import { shuffledStream } from "../random/shuffle-stream.js";

/** Items by their places: an array has `at`, blocks have `get`. */
export interface IndexedSource<T> {
  /** How many there are. */
  readonly length: number;
  /** The item at a place from 0. */
  get(index: number): T | Promise<T>;
}

/** What a {@link DataLoader} reads: a function gives a fresh iterable for every epoch. */
export type DataSource<T> =
  | readonly T[]
  | IndexedSource<T>
  | Iterable<T>
  | AsyncIterable<T>
  | (() => Iterable<T> | AsyncIterable<T>);

/** Options of {@link DataLoader}. */
export interface DataLoaderOptions<T, B> {
  /** Items of a batch; the last one may be shorter. Default 1. */
  batchSize?: number;
  /** Leaves a last batch out that is shorter. Default false. */
  dropLast?: boolean;
  /** Another order every epoch, by `seed` and the epoch's number. Default false. */
  shuffle?: boolean;
  /** Default 0. */
  seed?: number;
  /** Of a shuffled source without places: items that wait to be drawn from. Default 1,000. */
  shuffleBuffer?: number;
  /** What becomes of a batch's items; default: they stay an array. */
  collate?: (items: T[]) => B | Promise<B>;
  /** Batches that are asked for while the loop waits for something else. Default 0: each when its turn comes. */
  prefetch?: number;
}

/**
 * Batches of a source, an epoch for each time it is iterated.
 * @example
 * const loader = new DataLoader(blocks, { batchSize: 8, shuffle: true, collate: (rows) => collate(rows, tokenizer.padId) });
 * for (let epoch = 0; epoch < 3; epoch++) for await (const batch of loader) step(batch);
 * @throws UserError for a count that is not a whole number, and where a generator that is used up is iterated again
 */
export class DataLoader<T, B = T[]> implements AsyncIterable<B> {
  /** The number of the epoch that the next iteration is, from 0; set it to go on from an earlier run's. */
  epoch = 0;
  readonly #source: DataSource<T>;
  readonly #options: Required<DataLoaderOptions<T, B>>;
  #begun = false;

  constructor(source: DataSource<T>, options: DataLoaderOptions<T, B> = {}) {
    this.#source = source;
    const { batchSize = 1, dropLast = false, shuffle = false, prefetch = 0 } = options;
    const { seed = 0, shuffleBuffer = 1000, collate = (items: T[]) => items as unknown as B } = options;
    this.#options = { batchSize, dropLast, shuffle, prefetch, seed, shuffleBuffer, collate };
    requireWhole("batchSize", batchSize, 1);
    requireWhole("prefetch", prefetch, 0);
    requireWhole("shuffleBuffer", shuffleBuffer, 1);
    requireWhole("seed", seed, 0);
  }

  /** Batches of an epoch; undefined where the source does not say how many items it has. */
  get length(): number | undefined {
    const indexed = indexedSource(this.#source);
    if (indexed === undefined) return undefined;
    const batches = indexed.length / this.#options.batchSize;
    return this.#options.dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  /** The batches of one epoch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<B, void, undefined> {
    const { prefetch } = this.#options;
    const batches = this.#batches(this.epoch++);
    const ahead: Promise<IteratorResult<B>>[] = [];
    const ask = () => {
      const next = batches.next();
      next.catch(() => {}); // reported in its turn
      ahead.push(next);
    };
    try {
      for (;;) {
        if (ahead.length === 0) ask();
        const { done, value } = await (ahead.shift() as Promise<IteratorResult<B>>);
        if (done) return;
        while (ahead.length < prefetch) ask();
        yield value;
      }
    } finally {
      await batches.return(undefined);
    }
  }

  async *#batches(epoch: number): AsyncGenerator<B, void, undefined> {
    const { batchSize, collate, dropLast } = this.#options;
    let items: T[] = [];
    for await (const item of this.#items(epoch)) {
      items.push(item);
      if (items.length < batchSize) continue;
      yield await collate(items);
      items = [];
    }
    if (items.length > 0 && !dropLast) yield await collate(items);
  }

  async *#items(epoch: number): AsyncGenerator<T, void, undefined> {
    const { shuffle, seed, shuffleBuffer } = this.#options;
    const generator = shuffle ? new NumpyGenerator(seed + epoch) : undefined;
    const indexed = indexedSource(this.#source);
    if (indexed !== undefined) {
      const order = generator?.permutation(indexed.length);
      for (let i = 0; i < indexed.length; i++) yield await indexed.get(order?.[i] ?? i);
      return;
    }
    const stream = this.#stream();
    if (generator === undefined) yield* stream;
    else yield* shuffledStream(stream, shuffleBuffer, generator);
  }

  #stream(): Iterable<T> | AsyncIterable<T> {
    const source = this.#source;
    if (typeof source === "function") return source();
    const stream = source as Iterable<T> | AsyncIterable<T>;
    if ("next" in stream && this.#begun)
      throw new UserError(
        "DataLoader: this generator was used up by an earlier epoch; give a function that makes one, such as () => readLines(file)",
      );
    this.#begun = true;
    return stream;
  }
}

function indexedSource<T>(source: DataSource<T>): IndexedSource<T> | undefined {
  if (Array.isArray(source)) return { length: source.length, get: (index) => source[index] as T };
  return typeof source === "object" && "length" in source && "get" in source ? source : undefined;
}

function requireWhole(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new UserError(`DataLoader: ${name} is ${value}; it is a whole number from ${least}`);
}

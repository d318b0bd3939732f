// A tokenizer's engine with the encoder of our own before it: large corpora go to that, on several threads; what it
// leaves over, and small amounts, go to the library. Ids are the library's in either case.

import { availableParallelism } from "node:os";
import { EncoderThreads } from "./encoder-threads.js";
import { type Encoded, type EncoderTables, encoderTables, PieceEncoder } from "./piece-encoder.js";
import type { TokenizerEngine } from "./tokenizer-engines.js";

/** Characters that the library has encoded by the time that making the tables would have paid. */
export const TABLES_FROM = 500_000;
/** Characters after which threads are worth their start. */
const THREADS_FROM = 2_000_000;
/** One thread reads the corpus for all others, which keeps about so many busy. */
const MOST_THREADS = 6;

/**
 * @param json the text of the tokenizer.json of which the engine was made, UTF-8
 * @param from characters after which the encoder of our own takes over
 */
export function quickEngine(engine: TokenizerEngine, json: Buffer, from = TABLES_FROM): TokenizerEngine {
  const quick = new QuickEncoding(engine, json, from);
  return {
    ...engine,
    get lanes() {
      return quick.lanes;
    },
    encodeBatch: (texts) => quick.encodeBatch(texts),
    rest: () => quick.rest(),
  };
}

class QuickEncoding {
  readonly #threads = Math.max(1, Math.min(MOST_THREADS, availableParallelism()));
  readonly #engine: TokenizerEngine;
  readonly #from: number;
  #json: Buffer | undefined;
  #characters = 0;
  /** Undefined before they are made, and where the tokenizer is of another form. */
  #tables: EncoderTables | undefined;
  #own: PieceEncoder | undefined;
  #pool: EncoderThreads | undefined;

  constructor(engine: TokenizerEngine, json: Buffer, from: number) {
    this.#engine = engine;
    this.#json = json;
    this.#from = from;
  }

  /** The library's results are large until their ids are copied: one batch at a time is enough of them. */
  get lanes(): number {
    return this.#tables === undefined ? 1 : 2 * this.#threads;
  }

  async encodeBatch(texts: readonly string[]): Promise<Int32Array[]> {
    for (const text of texts) this.#characters += text.length;
    if (this.#characters <= this.#from) return this.#engine.encodeBatch(texts);
    if (this.#json !== undefined) return this.#compared(texts, this.#json);
    if (this.#tables === undefined) return this.#engine.encodeBatch(texts);
    return this.#completed(texts, await this.#encode(texts, this.#tables));
  }

  async rest(): Promise<void> {
    const pool = this.#pool;
    this.#pool = undefined;
    await pool?.end();
  }

  async #encode(texts: readonly string[], tables: EncoderTables): Promise<Encoded> {
    if (this.#characters < THREADS_FROM || this.#threads === 1) {
      this.#own ??= new PieceEncoder(tables);
      return this.#own.encode(texts);
    }
    this.#pool ??= new EncoderThreads(tables, this.#threads);
    return this.#pool.encode(texts);
  }

  /** The first batch goes both ways: an encoder that differs from the library anywhere is not used. */
  async #compared(texts: readonly string[], json: Buffer): Promise<Int32Array[]> {
    const tables = encoderTables(JSON.parse(json.toString()));
    this.#json = undefined;
    const expected = await this.#engine.encodeBatch(texts);
    if (tables === undefined) return expected;
    const found = await this.#completed(texts, new PieceEncoder(tables).encode(texts));
    const isSame = found.every((ids, i) => Buffer.compare(bytesOf(ids), bytesOf(expected[i]!)) === 0);
    if (isSame) this.#tables = tables;
    return expected;
  }

  /** Each text's ids, with the library's for the texts that were left to it. */
  async #completed(texts: readonly string[], { ids, lengths }: Encoded): Promise<Int32Array[]> {
    const left = texts.filter((_, i) => lengths[i]! < 0);
    const others = left.length === 0 ? [] : await this.#engine.encodeBatch(left);
    let at = 0;
    let other = 0;
    return Array.from(lengths, (length) => {
      if (length < 0) return others[other++]!;
      at += length;
      return ids.subarray(at - length, at);
    });
  }
}

function bytesOf(ids: Int32Array): Uint8Array {
  return new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
}

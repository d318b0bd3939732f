// A tokenizer's engine with the native encoder before it: all but small amounts go to that, on several threads; what it
// leaves over, and the first texts, go to Hugging Face's library. Ids are the library's in either case.

import { availableParallelism } from "node:os";
import type { EncoderForm } from "./encoder-form.js";
import type { TokenizerEngine } from "./engines.js";
import {
  type Encoded,
  type EncodedRows,
  type EncoderHandle,
  type RowRule,
  type TextAddon,
  textAddon,
} from "./text-addon.js";

/** Characters that the library has encoded by the time that making the encoder would have paid. */
export const ENCODER_FROM = 50_000;
/** Batches are encoded on libuv's threads, of which there are four by default; one is left for reading files. */
const MOST_LANES = 3;

/**
 * @param json the text of the tokenizer.json of which the engine was made, UTF-8
 * @param form what of it the encoder is told; undefined where it is of another form
 * @param from characters after which the encoder takes over
 */
export function quickEngine(
  engine: TokenizerEngine,
  json: Buffer,
  form: EncoderForm | undefined,
  from = ENCODER_FROM,
): TokenizerEngine {
  // the library numbers added tokens itself, whatever the file says
  const isTrue = form?.added.every(([content, id]) => engine.tokenToId(content) === id);
  const addon = isTrue ? textAddon() : undefined;
  if (form === undefined || addon === undefined) return engine;
  const quick = new QuickEncoding({ engine, json, form, addon, from });
  return {
    ...engine,
    get lanes() {
      return quick.lanes;
    },
    encodeBatch: (texts) => quick.encodeBatch(texts),
    encodeRows: (rows, rule) => quick.encodeRows(rows, rule),
  };
}

interface Parts {
  readonly engine: TokenizerEngine;
  readonly json: Buffer;
  readonly form: EncoderForm;
  readonly addon: TextAddon;
  readonly from: number;
}

class QuickEncoding {
  readonly #parts: Parts;
  readonly #lanes = Math.max(1, Math.min(MOST_LANES, availableParallelism()));
  #characters = 0;
  #isCompared = false;
  /** Undefined before it has proved itself, and where it has not. */
  #encoder: EncoderHandle | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The library's results are large until their ids are copied: one batch at a time is enough of them. */
  get lanes(): number {
    return this.#encoder === undefined ? 1 : this.#lanes;
  }

  async encodeBatch(texts: readonly string[]): Promise<Int32Array[]> {
    const { engine, addon, from } = this.#parts;
    if (this.#encoder !== undefined)
      return this.#completed(texts, await addon.encodeTexts(this.#encoder, texts));
    for (const text of texts) this.#characters += text.length;
    if (this.#isCompared || this.#characters <= from) return engine.encodeBatch(texts);
    this.#isCompared = true;
    return this.#compared(texts);
  }

  encodeRows(rows: Uint8Array, rule: RowRule): Promise<EncodedRows> | undefined {
    return this.#encoder === undefined ? undefined : this.#parts.addon.encodeRows(this.#encoder, rows, rule);
  }

  /** The first batch goes both ways: an encoder that differs from the library anywhere is not used. */
  async #compared(texts: readonly string[]): Promise<Int32Array[]> {
    const { engine, json, form, addon } = this.#parts;
    const library = engine.encodeBatch(texts);
    library.catch(() => {}); // it is awaited below
    const encoder = addon.makeEncoder(json, form.added);
    const expected = await library;
    if (encoder === undefined) return expected;
    const found = await this.#completed(texts, await addon.encodeTexts(encoder, texts));
    const isSame = found.every((ids, i) => Buffer.compare(bytesOf(ids), bytesOf(expected[i]!)) === 0);
    if (isSame) this.#encoder = encoder;
    return expected;
  }

  /** Each text's ids, with the library's for the texts that were left to it. */
  async #completed(texts: readonly string[], { ids, lengths }: Encoded): Promise<Int32Array[]> {
    const left = texts.filter((_, i) => lengths[i]! < 0);
    const others = left.length === 0 ? [] : await this.#parts.engine.encodeBatch(left);
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

// Blocks that are read, tokenized and packed while the model trains on earlier ones: `streaming`. Memory holds the shuffle
// buffer and one batch of documents, however large the corpus. Steps are asked for in rising order.

import { UserError } from "../../errors.js";
import { type BlockLayout, packBlocks } from "../blocks/packing.js";
import type { BlockStream, StreamShare, StreamWindow } from "../blocks/stream.js";
import { TokenArena } from "../blocks/token-arena.js";
import { encodeDocuments, type TextRule } from "../intake/intake.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { type DocumentStream, streamDocuments } from "./document-stream.js";
import { shareOfRound } from "./shared-rounds.js";

/** What a stream of blocks is made from. */
export interface StreamOptions {
  readonly documents: DocumentStream;
  /** Documents at the head of every pass that are held out. */
  readonly skip: number;
  readonly tokenizer: Tokenizer;
  readonly rule: TextRule;
  readonly layout: BlockLayout;
  /** Documents packed together. */
  readonly batchDocuments: number;
  /** Blocks of a batch, and batches of a step. */
  readonly batchSize: number;
  readonly accumulation: number;
  /** Leave out the last batches of a pass that are short, or not enough for every process. */
  readonly dropLast: boolean;
  /** Which of the processes that share the stream this is; each reads all of it. */
  readonly share: StreamShare;
  readonly signal: AbortSignal | undefined;
}

/** The blocks of one pass, in order. */
export async function* streamBlocks(options: StreamOptions, pass: number): AsyncGenerator<Int32Array> {
  const { documents, skip, tokenizer, rule, layout, batchDocuments, signal } = options;
  let texts: string[] = [];
  let skipped = 0;
  async function* packed(): AsyncGenerator<Int32Array> {
    signal?.throwIfAborted();
    const arena = new TokenArena();
    await encodeDocuments(tokenizer, rule, texts, arena);
    texts = [];
    const blocks = packBlocks(arena, { ...layout, workers: 1, batchSize: 0 });
    for (let i = 0; i < blocks.length; i++) yield blocks.get(i);
  }
  for await (const text of streamDocuments(documents, pass)) {
    if (skipped++ < skip) continue;
    texts.push(text);
    if (texts.length === batchDocuments) yield* packed();
  }
  if (texts.length > 0) yield* packed();
}

/** How steps are cut from blocks. */
export type StepOptions = Pick<StreamOptions, "batchSize" | "accumulation" | "dropLast" | "share">;

/**
 * Steps over pass after pass. Batches at the end of a pass that fill no step are left out: the next pass begins with a
 * new step.
 */
export class StreamedSteps implements BlockStream {
  readonly #options: StepOptions;
  readonly #passOf: (pass: number) => AsyncGenerator<Int32Array>;
  #blocks: AsyncGenerator<Int32Array>;
  #pass = 0;
  /** Steps given so far, and those of this pass. */
  #step = 0;
  #before = 0;
  #last: StreamWindow | undefined;
  /** What this pass began with: a block for every process. */
  #first: Int32Array[] = [];

  /** @param passOf the blocks of a pass, in order */
  constructor(options: StepOptions, passOf: (pass: number) => AsyncGenerator<Int32Array>) {
    this.#options = options;
    this.#passOf = passOf;
    this.#blocks = passOf(0);
  }

  /**
   * The batches of step `step` (from 0), reading through those before it. Throws RangeError for a step that
   * has gone by, and UserError where a pass fills no step.
   */
  async window(step: number): Promise<StreamWindow> {
    if (step < this.#step - 1)
      throw new RangeError(`step ${step} has gone by: the stream is at ${this.#step}`);
    while (this.#step <= step) {
      this.#last = await this.#next();
      this.#step++;
    }
    return this.#last!;
  }

  /** The first block of the first step, of whichever process. */
  async firstBlock(): Promise<Int32Array> {
    await this.window(0);
    return this.#first[0] as Int32Array;
  }

  /** The next blocks of the pass, at most `count`. */
  async #take(count: number): Promise<Int32Array[]> {
    const found: Int32Array[] = [];
    while (found.length < count) {
      const { value, done } = await this.#blocks.next();
      if (done) break;
      found.push(value);
    }
    return found;
  }

  async #next(): Promise<StreamWindow> {
    const { batchSize, accumulation, dropLast, share } = this.#options;
    const whole = batchSize * share.size;
    for (;;) {
      const batches: Int32Array[][] = [];
      let ended = false;
      while (!ended && batches.length < accumulation) {
        const round = await this.#take(whole);
        ended = round.length < whole;
        if (this.#first.length === 0) this.#first = round.slice(0, share.size);
        if (round.length >= (dropLast ? whole : 1)) batches.push(shareOfRound(round, this.#first, share));
      }
      if (batches.length === accumulation) return { batches, pass: this.#pass, before: this.#before++ };
      if (this.#before === 0) {
        throw new UserError(
          `streaming: a pass over the corpus fills ${batches.length} batches of ${batchSize}, fewer than ` +
            `gradient_accumulation_steps (${accumulation}); lower it or cutoff_len, or add data`,
        );
      }
      this.#pass++;
      this.#before = 0;
      this.#first = [];
      this.#blocks = this.#passOf(this.#pass);
    }
  }
}

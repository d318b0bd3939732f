// Cuts a tokenized corpus into the blocks that training sees, as LLaMA-Factory's `stage: pt` does. It moves no tokens:
// a block is a place in the run of documents. It knows nothing of files or tokenizers.

import type { Documents } from "./selection.js";

/** The training examples of a corpus, read one at a time. */
export interface TokenBlocks {
  /** Blocks. */
  readonly length: number;
  /** Tokens of all blocks together. */
  readonly tokens: number;
  /** A fresh copy of one block's ids. Packed blocks all have the same length, unpacked ones vary. */
  get(index: number): Int32Array;
  /** As `get`, without holding the thread where ids are in a file. */
  load?(index: number): Promise<Int32Array>;
  /**
   * Where documents begin inside a block, its own beginning first. Only where documents that share a block are to see
   * nothing of each other.
   */
  starts?(index: number): Int32Array;
}

/** How a corpus is cut into blocks. */
export interface BlockLayout {
  /** Tokens of a packed block; the limit of an unpacked one. */
  readonly blockLength: number;
  readonly packing: boolean;
  /** Packed documents see nothing of each other: blocks say where they begin. */
  readonly isolated?: boolean;
  /** Contiguous shares of the documents; each is cut on its own. */
  readonly workers: number;
  /** Documents of a share that are joined before cutting; 0 joins the whole share. */
  readonly batchSize: number;
  /** Written over the first id of every packed block, where the tokenizer asks for it. */
  readonly bosId: number | undefined;
}

/** Document ranges [from, to) that are joined and cut together: shares of datasets.map(num_proc), then its batches. */
export function* documentBatches(
  documents: number,
  workers: number,
  batchSize: number,
): Generator<{ from: number; to: number }> {
  const size = batchSize > 0 ? batchSize : Number.POSITIVE_INFINITY;
  const shares = Math.max(1, Math.min(workers, documents));
  const least = Math.floor(documents / shares);
  const longer = documents % shares;
  let from = 0;
  for (let share = 0; share < shares; share++) {
    const end = from + least + (share < longer ? 1 : 0);
    for (let at = from; at < end; at += size) yield { from: at, to: Math.min(at + size, end) };
    from = end;
  }
}

/** Lays blocks over a corpus. Tails of batches (packing) and of long documents (no packing) are left out. */
export function packBlocks(corpus: Documents, layout: BlockLayout): TokenBlocks {
  if (!layout.packing) return new DocumentBlocks(corpus, layout.blockLength);
  return layout.isolated ? new IsolatedBlocks(corpus, layout) : new PackedBlocks(corpus, layout);
}

/** Every document as one block, whole. */
export function blockPerDocument(corpus: Documents): TokenBlocks {
  return new DocumentBlocks(corpus, Number.MAX_SAFE_INTEGER);
}

class PackedBlocks implements TokenBlocks {
  readonly length: number;
  readonly tokens: number;
  readonly #corpus: Documents;
  readonly #layout: BlockLayout;
  /** Of each batch that has a block: its first token, and how many blocks come before it. */
  readonly #runs: { start: number; before: number }[] = [];

  constructor(corpus: Documents, layout: BlockLayout) {
    this.#corpus = corpus;
    this.#layout = layout;
    let before = 0;
    for (const { from, to } of documentBatches(corpus.documents, layout.workers, layout.batchSize)) {
      const start = corpus.start(from);
      const blocks = Math.floor((corpus.start(to) - start) / layout.blockLength);
      if (blocks > 0) this.#runs.push({ start, before });
      before += blocks;
    }
    this.length = before;
    this.tokens = before * layout.blockLength;
  }

  get(index: number): Int32Array {
    const { blockLength, bosId } = this.#layout;
    const block = this.#corpus.slice(this.firstToken(index), blockLength);
    if (bosId !== undefined) block[0] = bosId;
    return block;
  }

  async load(index: number): Promise<Int32Array> {
    const { blockLength, bosId } = this.#layout;
    const block = await this.#corpus.load(this.firstToken(index), blockLength);
    if (bosId !== undefined) block[0] = bosId;
    return block;
  }

  /** Where a block begins in the corpus. */
  protected firstToken(index: number): number {
    checkIndex(index, this.length);
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#runs[middle]!.before <= index) low = middle;
      else high = middle - 1;
    }
    const run = this.#runs[low]!;
    return run.start + (index - run.before) * this.#layout.blockLength;
  }
}

/** Packed blocks that know their documents. One cut by a block's edge continues in the next as a separate one. */
class IsolatedBlocks extends PackedBlocks {
  readonly #documents: Documents;
  readonly #blockLength: number;

  constructor(corpus: Documents, layout: BlockLayout) {
    super(corpus, layout);
    this.#documents = corpus;
    this.#blockLength = layout.blockLength;
  }

  starts(index: number): Int32Array {
    const first = this.firstToken(index);
    const corpus = this.#documents;
    let low = 0;
    let high = corpus.documents - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (corpus.start(middle) <= first) low = middle;
      else high = middle - 1;
    }
    const starts = [0];
    for (let document = low + 1; document < corpus.documents; document++) {
      const at = corpus.start(document) - first;
      if (at >= this.#blockLength) break;
      if (at > (starts.at(-1) as number)) starts.push(at);
    }
    return Int32Array.from(starts);
  }
}

class DocumentBlocks implements TokenBlocks {
  readonly length: number;
  readonly tokens: number;
  readonly #corpus: Documents;
  readonly #limit: number;

  constructor(corpus: Documents, limit: number) {
    this.#corpus = corpus;
    this.#limit = limit;
    this.length = corpus.documents;
    let tokens = 0;
    for (let i = 0; i < this.length; i++) tokens += this.#kept(i);
    this.tokens = tokens;
  }

  get(index: number): Int32Array {
    checkIndex(index, this.length);
    return this.#corpus.slice(this.#corpus.start(index), this.#kept(index));
  }

  async load(index: number): Promise<Int32Array> {
    checkIndex(index, this.length);
    return this.#corpus.load(this.#corpus.start(index), this.#kept(index));
  }

  #kept(index: number): number {
    return Math.min(this.#limit, this.#corpus.start(index + 1) - this.#corpus.start(index));
  }
}

function checkIndex(index: number, length: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= length) {
    throw new RangeError(`block ${index} does not exist: there are ${length}`);
  }
}

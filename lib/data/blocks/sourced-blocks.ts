// Blocks of several sources, one source after another: every block is of one dataset. The order in which they are
// trained on is not decided here: see lib/methods.

import { UserError } from "../../errors.js";
import { plural } from "../../words.js";
import type { DocumentIds } from "./document-ids.js";
import type { TokenBlocks } from "./packing.js";
import type { Documents } from "./selection.js";

/** A dataset's part of the training blocks. */
export interface BlockSource {
  /** The dataset's name in the recipe. */
  readonly name: string;
  /** Named by `replay_dataset`: what the model knows already. */
  readonly replay: boolean;
  /** Its documents. */
  readonly documents: number;
  /** Tokens of its documents; blocks hold fewer, where tails are dropped. */
  readonly tokens: number;
  /** Its first block, and their number. */
  readonly first: number;
  /** Its blocks. */
  readonly blocks: number;
}

/** Documents of one dataset that are to be packed by themselves. */
export interface SourceDocuments {
  readonly name: string;
  readonly replay: boolean;
  readonly ids: DocumentIds;
}

/** The blocks of several sources as one list. */
export class SourcedBlocks implements TokenBlocks {
  /** Blocks of all sources. */
  readonly length: number;
  /** Tokens of all blocks together. */
  readonly tokens: number;
  /** The sources in order, each with its first block and their number. */
  readonly sources: readonly BlockSource[];
  /** Where documents begin inside a block; undefined unless every source has them. */
  readonly starts?: (index: number) => Int32Array;
  readonly #parts: readonly TokenBlocks[];

  constructor(parts: readonly { source: SourceDocuments; documents: Documents; blocks: TokenBlocks }[]) {
    this.#parts = parts.map(({ blocks }) => blocks);
    let first = 0;
    this.sources = parts.map(({ source: { name, replay }, documents, blocks }) => {
      first += blocks.length;
      const { documents: count, tokens } = documents;
      const at = first - blocks.length;
      return { name, replay, documents: count, tokens, first: at, blocks: blocks.length };
    });
    this.length = first;
    this.tokens = this.#parts.reduce((sum, { tokens }) => sum + tokens, 0);
    if (this.#parts.every((part) => part.starts !== undefined))
      this.starts = (index) => {
        const { part, at } = this.#find(index);
        return part.starts!(at);
      };
  }

  /** A fresh copy of one block's ids. Throws RangeError beyond the last. */
  get(index: number): Int32Array {
    const { part, at } = this.#find(index);
    return part.get(at);
  }

  /** As `get`, without holding the thread where ids are in a file. */
  async load(index: number): Promise<Int32Array> {
    const { part, at } = this.#find(index);
    return part.load?.(at) ?? part.get(at);
  }

  #find(index: number): { part: TokenBlocks; at: number } {
    const found = this.sources.findIndex(({ first, blocks }) => index < first + blocks);
    if (found === -1) throw new RangeError(`block ${index} does not exist: there are ${this.length}`);
    return { part: this.#parts[found]!, at: index - this.sources[found]!.first };
  }
}

/**
 * Packs every source by itself.
 *
 * @param blockLength for the message
 * @throws UserError for a source that fills no block
 */
export function packBySource(
  sources: readonly SourceDocuments[],
  lay: (ids: DocumentIds) => { documents: Documents; blocks: TokenBlocks },
  blockLength: number,
): SourcedBlocks {
  const parts = sources.map((source) => ({ source, ...lay(source.ids) }));
  const empty = parts.find(({ blocks }) => blocks.length === 0);
  if (empty !== undefined) {
    const { source, documents } = empty;
    throw new UserError(
      `${source.replay ? "replay_dataset" : "dataset"}: the ${plural(documents.documents, "document")} of ${source.name} ` +
        `(${plural(documents.tokens, "token")}) fill no block of ${blockLength}, and each dataset is packed separately; ` +
        "lower cutoff_len, add data, or leave the dataset out",
    );
  }
  return new SourcedBlocks(parts);
}

/** Documents by the dataset that they are of, in their order; `owner` gives the dataset's number of a document. */
export function bySource(
  documents: DocumentIds,
  names: readonly string[],
  owner: (id: number) => number,
): SourceDocuments[] {
  return names.map((name, source) => ({
    name,
    replay: false,
    ids: documents.filter((id) => owner(id) === source),
  }));
}

// What was made of the corpus, in figures and in one line for people.
import { count, plural } from "../../words.js";

/** What was made of the corpus, in figures. */
export interface DataSummary {
  /** Each dataset with its number of documents. */
  readonly datasets: readonly { readonly name: string; readonly documents: number }[];
  /** Documents of all datasets. */
  readonly documents: number;
  /** Tokens of all documents, separators included. */
  readonly tokens: number;
  /** Training examples. */
  readonly blocks: number;
  /** Tokens that no block holds: tails of batches (packing) or of long documents (no packing). */
  readonly droppedTokens: number;
  /** Read while training: documents and tokens are not known, and blocks are those of all steps. */
  readonly streamed?: boolean;
  /** What is evaluated on: documents and blocks of each set. */
  readonly evaluation?: readonly {
    readonly name: string | undefined;
    readonly documents: number;
    readonly blocks: number;
  }[];
  /** The token that ends a document. */
  readonly separator: string;
  /** Tokens of a packed block; the limit of an unpacked one. */
  readonly blockLength: number;
  /** Whether documents were joined and cut (true), or are a block each. */
  readonly packing: boolean;
}

/** One line, for instance: 200 documents, 125,660 tokens -> 115 blocks of 1,024 (7,900 tokens dropped). */
export function formatSummary(summary: DataSummary): string {
  if (summary.streamed) {
    const names = summary.datasets.map(({ name }) => name).join(", ");
    return (
      `streamed from ${names}: ${plural(summary.blocks, "block")} ${sizeOf(summary)} in all steps, documents end with ` +
      `${summary.separator}${evaluated(summary)}`
    );
  }
  const several = summary.datasets.length > 1;
  const from = several
    ? ` (${summary.datasets.map(({ name, documents }) => `${name} ${count(documents)}`).join(", ")})`
    : "";
  const share = summary.tokens > 0 ? ((100 * summary.droppedTokens) / summary.tokens).toFixed(1) : "0.0";
  return (
    `${plural(summary.documents, "document")}${from}, ${plural(summary.tokens, "token")} -> ` +
    `${plural(summary.blocks, "block")} ${sizeOf(summary)} ` +
    `(${plural(summary.droppedTokens, "token")} dropped, ${share} %), documents end with ${summary.separator}${evaluated(summary)}`
  );
}

function sizeOf({ packing, blockLength }: DataSummary): string {
  return packing ? `of ${count(blockLength)}` : `of at most ${count(blockLength)}`;
}

function evaluated({ evaluation = [] }: DataSummary): string {
  const sets = evaluation.map(
    ({ name, documents, blocks }) =>
      `${name === undefined ? "" : `${name} `}${plural(documents, "document")} in ${plural(blocks, "block")}`,
  );
  return sets.length === 0 ? "" : `; to evaluate on: ${sets.join(", ")}`;
}

// The documents of one pass over several datasets as a stream, mixed and shuffled through a buffer: the order of
// Hugging Face's iterable datasets, which differs from that of datasets in memory. No document is held but the buffer's.

import type { DatasetEntry } from "../datasets/dataset-info.js";
import { readDocuments } from "../datasets/documents.js";
import { DRAWS, type Mixture } from "../random/mixing.js";
import { NumpyGenerator } from "../random/numpy-generator.js";
import { shuffledStream } from "../random/shuffle-stream.js";

/** Datasets that are read as one stream of documents. */
export interface DocumentStream {
  readonly entries: readonly DatasetEntry[];
  readonly mixture: Mixture;
  /** Documents in the shuffle buffer; undefined for the datasets' own order. */
  readonly bufferSize: number | undefined;
}

/** The documents of pass `pass` (from 0). The same pass gives the same order. */
export function streamDocuments(stream: DocumentStream, pass: number): AsyncGenerator<string> {
  const { entries, mixture, bufferSize } = stream;
  if (bufferSize === undefined) return mixed(entries, mixture, new NumpyGenerator(mixture.seed));
  const generator = passGenerator(mixture.seed, pass);
  return shuffledStream(mixed(shuffledEntries(stream, generator), mixture, generator), bufferSize, generator);
}

/** Later passes draw from their own generator, seeded by a draw of the first one. */
function passGenerator(seed: number, pass: number): NumpyGenerator {
  const first = new NumpyGenerator(seed);
  if (pass === 0) return first;
  const effective = first.below63() - BigInt(pass);
  return new NumpyGenerator(effective < 0n ? (1n << 63n) + effective : effective);
}

/** Shuffling a concatenation shuffles its datasets first. */
function shuffledEntries(
  { entries, mixture }: DocumentStream,
  generator: NumpyGenerator,
): readonly DatasetEntry[] {
  if (mixture.strategy !== "concat" || entries.length < 2) return entries;
  const order = [...entries];
  generator.clone().shuffle(order);
  return order;
}

async function* mixed(
  entries: readonly DatasetEntry[],
  mixture: Mixture,
  generator: NumpyGenerator,
): AsyncGenerator<string> {
  if (mixture.strategy === "concat" || entries.length < 2) {
    for (const entry of entries) yield* readDocuments(entry);
    return;
  }
  const exhausted = entries.map(() => false);
  const iterators = entries.map((entry) => readDocuments(entry));
  const ahead: (IteratorResult<string> | undefined)[] = entries.map(() => undefined);
  try {
    for (const source of sources(entries.length, mixture, generator)) {
      const over =
        mixture.strategy === "interleave_under" ? exhausted.some(Boolean) : exhausted.every(Boolean);
      if (over) return;
      if (mixture.strategy === "interleave_once" && exhausted[source]) continue;
      const found = ahead[source] ?? (await iterators[source]!.next());
      // One document ahead tells whether this was the last.
      ahead[source] = await iterators[source]!.next();
      if (ahead[source].done) {
        exhausted[source] = true;
        ahead[source] = undefined;
        if (mixture.strategy !== "interleave_once") iterators[source] = readDocuments(entries[source]!);
      }
      if (!found.done) yield found.value;
    }
  } finally {
    // A mixture may end before its datasets do; their files are closed.
    for (const iterator of iterators) await iterator.return(undefined);
  }
}

/** Which dataset comes next, without end. */
function* sources(count: number, { probabilities }: Mixture, generator: NumpyGenerator): Generator<number> {
  const own = generator.clone();
  for (;;) {
    if (probabilities === undefined) for (let source = 0; source < count; source++) yield source;
    else yield* own.choice(DRAWS, probabilities);
  }
}

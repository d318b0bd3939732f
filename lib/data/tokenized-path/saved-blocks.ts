// `tokenized_path`: finished blocks on the disk, so that the next run need not read and tokenize. A folder with
// tokens.json, which says what the blocks are of, and a file of ids for each set. A folder that LLaMA-Factory wrote is
// read too (llamafactory-dataset.ts). As there, a cache's blocks are taken as they are, whatever the recipe says of its data.

import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../../errors.js";
import { writeJson } from "../../files/json.js";
import { readJsonFile } from "../../files/json-file.js";
import { makeFolder } from "../../files/make-folder.js";
import { insideFolder } from "../../files/outside-path.js";
import { count, flag, list, type Of, object, oneOf, type Shape, shape, text } from "../../files/shape.js";
import { blockPerDocument, type TokenBlocks } from "../blocks/packing.js";
import type { DataSummary } from "../blocks/summary.js";
import { TokenArena } from "../blocks/token-arena.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { TrainingData } from "../training-data.js";
import { isSavedDataset, readSavedDataset } from "./llamafactory-dataset.js";

const CONTENTS = "tokens.json";
const FORMAT = 1;
/** What is written at once, and read at once. */
const CHUNK = 1 << 20;

/** A block has a token at least: one of none would make any number of blocks out of nothing. */
const length = shape<number>(
  "a number of tokens",
  (value) => Number.isSafeInteger(value) && (value as number) > 0,
);

const SET_SHAPE = object({
  /** "" for training blocks and an evaluation set without a name. */
  name: text,
  kind: oneOf("train", "evaluation"),
  file: text,
  documents: count,
  /** Ids in each block; one number where all are alike. */
  lengths: ((value, place) =>
    Array.isArray(value) ? list(length)(value, place) : count(value, place)) as Shape<number | number[]>,
  blocks: count,
  sha256: text,
});
type SavedSet = Of<typeof SET_SHAPE>;

const CONTENTS_SHAPE = object({
  format: oneOf(FORMAT),
  tokenizer: object({ sha256: text, tokens: count }),
  summary: object({
    datasets: list(object({ name: text, documents: count })),
    documents: count,
    tokens: count,
    blocks: count,
    droppedTokens: count,
    separator: text,
    blockLength: count,
    packing: flag,
  }) as Shape<DataSummary>,
  sets: list(SET_SHAPE),
});
type Contents = Of<typeof CONTENTS_SHAPE>;

/** The keys that a cache stands for, where the recipe may say something else. */
interface CachedRecipe {
  readonly cutoff_len: number;
  readonly packing: boolean;
}

/** Whether there is a cache: a folder with something in it. */
export function holdsTokens(folder: string): boolean {
  if (!existsSync(folder)) return false;
  if (statSync(folder).isDirectory()) return readdirSync(folder).length > 0;
  throw new UserError(`tokenized_path: ${folder} is a file; name a folder, or one that is still to be made`);
}

/**
 * The blocks of a cache.
 *
 * @throws UserError for one of another tokenizer, one that is damaged, and a folder that is no cache
 */
export async function loadTokens(
  folder: string,
  tokenizer: Tokenizer,
  recipe: CachedRecipe,
): Promise<TrainingData> {
  if (isSavedDataset(folder)) return readSavedDataset(folder, tokenizer);
  const file = path.join(folder, CONTENTS);
  if (!existsSync(file)) {
    throw new UserError(
      `tokenized_path: ${folder} holds something else than tokenized data (no ${CONTENTS}); name another folder`,
    );
  }
  const contents = readContents(file);
  if (contents.tokenizer.sha256 !== tokenizerDigest(tokenizer)) {
    throw new UserError(
      `tokenized_path: ${folder} was made with another tokenizer (${contents.tokenizer.tokens} tokens; this model's has ` +
        `${tokenizer.vocabSize}); name another folder, or remove this one to tokenize again`,
    );
  }
  let blocks: TokenBlocks = blockPerDocument(new TokenArena());
  const evaluation = [];
  for (const set of contents.sets) {
    const read = await readSet(folder, set);
    if (set.kind === "train") blocks = read;
    else evaluation.push({ name: set.name || undefined, blocks: read, documents: set.documents });
  }
  return { blocks, summary: contents.summary, evaluation, notes: ignored(folder, contents.summary, recipe) };
}

function ignored(folder: string, summary: DataSummary, recipe: CachedRecipe): string[] {
  const notes = [`tokenized_path: the blocks are those saved in ${folder}; other data keys are not read`];
  if (summary.packing !== recipe.packing || summary.blockLength !== recipe.cutoff_len) {
    const size = summary.packing ? `of ${summary.blockLength}` : `of at most ${summary.blockLength}`;
    notes.push(
      `tokenized_path: they are ${size} tokens, ${summary.packing ? "packed" : "not packed"}, where the recipe asks for ` +
        `${recipe.cutoff_len}, ${recipe.packing ? "packed" : "not packed"}; remove ${folder} to tokenize again`,
    );
  }
  return notes;
}

/** @throws UserError for a file that is damaged: asked before anything is read or made by it */
function readContents(file: string): Contents {
  const contents = readJsonFile(file, CONTENTS_SHAPE, { remedy: "remove the folder to tokenize again" });
  for (const [index, { lengths, blocks }] of contents.sets.entries()) {
    const fits = typeof lengths === "number" ? lengths > 0 || blocks === 0 : lengths.length === blocks;
    if (fits) continue;
    throw new UserError(
      `${file}: sets[${index}]: lengths has not one number above 0 a block: the file is damaged; remove the folder to tokenize again`,
    );
  }
  return contents;
}

/** The bytes that a set must have. */
function bytesOf({ lengths, blocks }: SavedSet): number {
  return (
    4 * (typeof lengths === "number" ? lengths * blocks : lengths.reduce((sum, length) => sum + length, 0))
  );
}

async function readSet(folder: string, set: SavedSet): Promise<TokenBlocks> {
  const file = insideFolder(folder, set.file, path.join(folder, CONTENTS));
  const damaged = (what: string) => new UserError(`${file}: ${what}; remove ${folder} to tokenize again`);
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw damaged("cannot be read: it is missing");
  if (size !== bytesOf(set)) throw damaged("is cut short, or longer than it was written");
  const arena = new TokenArena();
  const digest = createHash("sha256");
  const lengthOf = (block: number) => (typeof set.lengths === "number" ? set.lengths : set.lengths[block]!);
  let rest: Buffer = Buffer.alloc(0);
  let block = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK })) {
      digest.update(chunk as Buffer);
      const bytes = Buffer.concat([rest, chunk as Buffer]);
      let at = 0;
      while (block < set.blocks && at + 4 * lengthOf(block) <= bytes.length) {
        arena.append(idsOf(bytes.subarray(at, at + 4 * lengthOf(block))));
        at += 4 * lengthOf(block++);
      }
      rest = bytes.subarray(at);
    }
  } catch (error) {
    throw damaged(`cannot be read: ${messageOf(error)}`);
  }
  if (block < set.blocks || rest.length > 0) throw damaged("is cut short, or longer than it was written");
  if (digest.digest("hex") !== set.sha256) throw damaged("is damaged (its checksum differs)");
  return blockPerDocument(arena);
}

function idsOf(bytes: Buffer): Int32Array {
  // A copy, because a view wants an address that is a multiple of four.
  return new Int32Array(new Uint8Array(bytes).buffer);
}

/** The folder beside a cache's in which it is made. */
function workshop(folder: string): string {
  const target = path.resolve(folder);
  return path.join(path.dirname(target), `.${path.basename(target)}.${process.pid}.tmp`);
}

function unwritable(folder: string, error: unknown): UserError {
  return new UserError(
    `tokenized_path: cannot write ${folder}: ${messageOf(error)}; see to the disk, name another folder, or leave it out`,
  );
}

/** @throws UserError where a cache could not be written: said before the work, not after it */
export function requireWritable(folder: string): void {
  const temporary = workshop(folder);
  try {
    makeFolder(temporary);
    rmdirSync(temporary);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/**
 * Saves blocks, whole or not at all: beside the folder first, then renamed.
 *
 * @throws UserError where the disk refuses
 */
export function saveTokens(folder: string, data: TrainingData, tokenizer: Tokenizer): void {
  const temporary = workshop(folder);
  try {
    makeFolder(temporary);
    const sets = [writeSet(temporary, "train", "", data.blocks, data.summary.documents)];
    for (const { name = "", blocks, documents } of data.evaluation)
      sets.push(writeSet(temporary, "evaluation", name, blocks, documents));
    const contents: Contents = {
      format: FORMAT,
      tokenizer: { sha256: tokenizerDigest(tokenizer), tokens: tokenizer.vocabSize },
      summary: data.summary,
      sets,
    };
    writeJson(path.join(temporary, CONTENTS), contents);
    if (existsSync(folder)) rmdirSync(folder); // refuses a folder that another run has filled meanwhile
    renameSync(temporary, folder);
  } catch (error) {
    if (existsSync(temporary)) rmSync(temporary, { recursive: true, force: true });
    if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY") throw unwritable(folder, error);
  }
}

function writeSet(
  folder: string,
  kind: SavedSet["kind"],
  name: string,
  blocks: TokenBlocks,
  documents: number,
): SavedSet {
  const file = `${kind}${name === "" ? "" : `-${name.replace(/[^\w.-]/g, "_")}`}.tokens`;
  const digest = createHash("sha256");
  const lengths: number[] = [];
  const handle = openSync(path.join(folder, file), "wx");
  try {
    let pending: Uint8Array[] = [];
    let bytes = 0;
    const flush = () => {
      const chunk = Buffer.concat(pending);
      digest.update(chunk);
      for (let at = 0; at < chunk.length; ) at += writeSync(handle, chunk, at);
      pending = [];
      bytes = 0;
    };
    for (let i = 0; i < blocks.length; i++) {
      const ids = blocks.get(i);
      lengths.push(ids.length);
      pending.push(new Uint8Array(ids.buffer));
      bytes += ids.byteLength;
      if (bytes >= CHUNK) flush();
    }
    flush();
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  const alike = lengths.every((length) => length === lengths[0]);
  return {
    name,
    kind,
    file,
    documents,
    lengths: alike ? (lengths[0] ?? 0) : lengths,
    blocks: blocks.length,
    sha256: digest.digest("hex"),
  };
}

/** What tells tokenizers apart: every token's text in order, and what ends and pads a document. */
function tokenizerDigest(tokenizer: Tokenizer): string {
  const digest = createHash("sha256");
  for (let from = 0; from < tokenizer.vocabSize; from += 4096) {
    const count = Math.min(4096, tokenizer.vocabSize - from);
    digest.update(tokenizer.decode(Int32Array.from({ length: count }, (_, i) => from + i)));
    digest.update("\0");
  }
  const ends = [
    tokenizer.vocabSize,
    tokenizer.eosToken,
    tokenizer.eosId,
    tokenizer.padToken,
    tokenizer.padId,
  ];
  return digest.update(JSON.stringify(ends)).digest("hex");
}

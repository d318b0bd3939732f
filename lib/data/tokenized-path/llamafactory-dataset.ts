// A `tokenized_path` that LLaMA-Factory wrote: a folder of `datasets` (save_to_disk), Arrow files with the column
// input_ids. It is only read here. It does not say of which tokenizer it is; ids beyond the vocabulary betray another.

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../../errors.js";
import { parseJson } from "../../files/json.js";
import { insideFolder } from "../../files/outside-path.js";
import { blockPerDocument, type TokenBlocks } from "../blocks/packing.js";
import { TokenArena } from "../blocks/token-arena.js";
import { readRows } from "../readers/rows.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { TrainingData } from "../training-data.js";

const SPLITS = "dataset_dict.json";
const STATE = "state.json";
const COLUMN = "input_ids";
const VALIDATION = "validation";

/** Whether `datasets` saved this folder. */
export function isSavedDataset(folder: string): boolean {
  return existsSync(path.join(folder, SPLITS)) || existsSync(path.join(folder, STATE));
}

/**
 * The blocks of a saved dataset: its split "train", and "validation" or "validation_NAME" to evaluate on.
 *
 * @throws UserError for what is damaged, of another tokenizer, or of supervised fine-tuning
 */
export async function readSavedDataset(folder: string, tokenizer: Tokenizer): Promise<TrainingData> {
  const splits = existsSync(path.join(folder, SPLITS)) ? splitsOf(path.join(folder, SPLITS)) : [""];
  let train: TokenBlocks = blockPerDocument(new TokenArena());
  const evaluation = [];
  for (const split of splits) {
    const place = split === "" ? folder : insideFolder(folder, split, path.join(folder, SPLITS));
    const blocks = await readSplit(place, tokenizer);
    if (split === "train" || split === "") train = blocks;
    else if (split === VALIDATION) evaluation.push({ name: undefined, blocks, documents: blocks.length });
    else if (split.startsWith(`${VALIDATION}_`)) {
      evaluation.push({ name: split.slice(VALIDATION.length + 1), blocks, documents: blocks.length });
    }
  }
  const longest = lengthOfLongest(train);
  return {
    blocks: train,
    evaluation,
    summary: {
      datasets: [{ name: path.basename(folder), documents: train.length }],
      documents: train.length,
      tokens: train.tokens,
      blocks: train.length,
      droppedTokens: 0,
      evaluation: evaluation.map((set) => ({ ...set, blocks: set.blocks.length })),
      separator: tokenizer.eosToken,
      blockLength: longest,
      packing: train.tokens === longest * train.length,
    },
    notes: [
      `tokenized_path: the blocks are those that LLaMA-Factory saved in ${folder}; other data keys are not read`,
    ],
  };
}

function splitsOf(file: string): string[] {
  const { splits } = readJson(file);
  if (Array.isArray(splits) && splits.every((split) => typeof split === "string")) return splits;
  throw new UserError(`${file}: splits: a list of names is needed; ${AGAIN}`);
}

function lengthOfLongest(blocks: TokenBlocks): number {
  let longest = 0;
  for (let i = 0; i < blocks.length; i++) longest = Math.max(longest, blocks.get(i).length);
  return longest;
}

async function readSplit(folder: string, tokenizer: Tokenizer): Promise<TokenBlocks> {
  const state = path.join(folder, STATE);
  const files = readJson(state)._data_files;
  if (!Array.isArray(files)) throw new UserError(`${state}: names no data files; ${AGAIN}`);
  const arena = new TokenArena();
  for (const entry of files as ({ filename?: unknown } | null)[]) {
    const file = insideFolder(folder, entry?.filename, state);
    await refuseFineTuning(file);
    for await (const { value, place } of readRows(file, [COLUMN])) {
      const ids = Int32Array.from(value[COLUMN] as ArrayLike<number>, Number);
      const wrong = ids.find((id) => id < 0 || id >= tokenizer.vocabSize);
      if (wrong !== undefined) {
        throw new UserError(
          `${place}: token ${wrong} is not in this model's vocabulary of ${tokenizer.vocabSize}: the data was made with ` +
            "another tokenizer; name another tokenized_path",
        );
      }
      arena.append(ids);
    }
  }
  return blockPerDocument(arena);
}

/** Data of supervised fine-tuning has its own labels, which pre-training would ignore. */
async function refuseFineTuning(file: string): Promise<void> {
  for await (const { value } of readRows(file)) {
    if (!Object.hasOwn(value, "labels")) return;
    throw new UserError(
      `${file}: was tokenized for supervised fine-tuning (it has labels); name another tokenized_path`,
    );
  }
}

const AGAIN = "remove the folder to tokenize again";

function readJson(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`tokenized_path: ${file} cannot be read: ${messageOf(error)}; ${AGAIN}`);
  }
  const found = parseJson(text, file, AGAIN);
  if (typeof found === "object" && found !== null && !Array.isArray(found))
    return found as Record<string, unknown>;
  throw new UserError(`${file}: an object is needed; ${AGAIN}`);
}

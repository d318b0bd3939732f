// A `tokenized_path` that LLaMA-Factory wrote: a folder of `datasets` (save_to_disk), Arrow files with the column
// input_ids. It is only read here. It does not say of which tokenizer it is; ids beyond the vocabulary betray another.

import { existsSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { readJsonFile } from "../../files/json-file.js";
import { insideFolder } from "../../files/outside-path.js";
import { list, object, text } from "../../files/shape.js";
import { blockPerDocument, type TokenBlocks } from "../blocks/packing.js";
import { TokenArena } from "../blocks/token-arena.js";
import { readRows } from "../readers/rows.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { TrainingData } from "../training-data.js";

const SPLITS = "dataset_dict.json";
const STATE = "state.json";
const COLUMN = "input_ids";
const VALIDATION = "validation";
const SPLITS_SHAPE = object({ splits: list(text) });
const STATE_SHAPE = object({ _data_files: list(object({ filename: text })) });
const READING = { remedy: "remove the folder of tokenized_path to tokenize again" };

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
  const splits = existsSync(path.join(folder, SPLITS))
    ? readJsonFile(path.join(folder, SPLITS), SPLITS_SHAPE, READING).splits
    : [""];
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

function lengthOfLongest(blocks: TokenBlocks): number {
  let longest = 0;
  for (let i = 0; i < blocks.length; i++) longest = Math.max(longest, blocks.get(i).length);
  return longest;
}

async function readSplit(folder: string, tokenizer: Tokenizer): Promise<TokenBlocks> {
  const state = path.join(folder, STATE);
  const files = readJsonFile(state, STATE_SHAPE, READING)._data_files;
  const arena = new TokenArena();
  for (const { filename } of files) {
    const file = insideFolder(folder, filename, state);
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

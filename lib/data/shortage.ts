// What is said where there is too little data for a single block: how much there is, and what would help.

import { UserError } from "../errors.js";
import { type DataRecipe, heldOut } from "./data-recipe.js";

/** Training documents that fill no block. */
export function tooLittleData(
  recipe: DataRecipe,
  corpora: readonly { readonly name: string; readonly files: readonly string[] }[],
  count: number,
  tokens: number,
): UserError {
  const names = corpora.map(({ name }) => name).join(", ");
  if (count === 0) {
    const files = corpora.flatMap((corpus) => corpus.files).join(", ");
    return new UserError(`dataset: ${names} has no rows; add some to ${files}, such as {"text": "..."}`);
  }
  const documents = count === 1 ? "1 document" : `${count} documents`;
  const fill = count === 1 ? "fills" : "fill";
  const workers = recipe.preprocessing_num_workers ?? 1;
  const shared =
    workers > 1 ? `, lower preprocessing_num_workers (${workers}), which divides the corpus first,` : "";
  return new UserError(
    `dataset: the ${documents} of ${names} (${tokens} tokens) ${fill} no block of ` +
      `${recipe.cutoff_len}; lower cutoff_len${shared} or add data`,
  );
}

/** Evaluation documents that fill no block. */
export function tooLittleHeld(
  recipe: DataRecipe,
  { name, documents }: { readonly name: string | undefined; readonly documents: number },
): UserError {
  const key = heldOut(recipe) === undefined ? "eval_dataset" : "val_size";
  const which = name === undefined ? "" : ` of ${name}`;
  const remedy = key === "val_size" ? "raise val_size" : "add data to it";
  return new UserError(
    `${key}: the ${documents === 1 ? "1 document" : `${documents} documents`}${which} to evaluate on fill no block of ` +
      `${recipe.cutoff_len}; ${remedy}, or lower cutoff_len`,
  );
}

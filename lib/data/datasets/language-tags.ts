// Language tags: which of them stands in front of a dataset's documents. They are text; whether one is a single token is
// decided by the tokenizer.

import { framedTag, TAG_FORM } from "../../config/index.js";
import { UserError } from "../../errors.js";

/**
 * The language_tag of an entry of dataset_info.json, in its frame.
 *
 * @param where the entry, for messages
 * @throws UserError for what is no tag
 */
export function entryTag(where: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const tag = framedTag(value);
  if (tag !== undefined) return tag;
  throw new UserError(`${where}: language_tag must be ${TAG_FORM}, not ${JSON.stringify(value)}`);
}

// The tokens that a recipe adds: `add_tokens`, `add_special_tokens` and `new_special_tokens_config`, and how their rows
// are to begin.
import { readFileSync } from "node:fs";
import type { Recipe } from "../../config/index.js";
import { loadTokenizer, type Tokenizer } from "../../data/index.js";
import { messageOf, UserError } from "../../errors.js";
import type { TrainEvent } from "../../events.js";
import { yaml } from "../../files/yaml.js";
import type { PieceStart } from "../../models/new-rows.js";
import type { NewRowInit } from "../../models/resize-vocabulary.js";
import { learnedVocabulary, type VocabularySetting } from "./learned-vocabulary.js";

/**
 * A recipe's tokenizer with the tokens it adds, and how their rows begin; no start where the vocabulary stays.
 * @throws UserError for a file of descriptions that cannot be read
 */
export async function openVocabulary(
  recipe: Recipe,
  emit: (event: TrainEvent) => void,
  setting: VocabularySetting,
): Promise<{ tokenizer: Tokenizer; start: NewRowInit | PieceStart | undefined }> {
  if (recipe.extend_vocab !== null || recipe.add_language_tags)
    return learnedVocabulary(recipe, emit, setting);
  const { new_special_tokens_config: file, init_special_tokens: method } = recipe;
  const described = file === null ? undefined : readDescriptions(file);
  const warn = (text: string): void => emit({ type: "message", level: "warning", text });
  if (described !== undefined && recipe.add_special_tokens !== null)
    warn("add_special_tokens has no effect beside new_special_tokens_config, whose tokens are added");
  const tokenizer = await loadTokenizer(recipe.model_name_or_path, {
    template: recipe.template,
    addTokens: recipe.add_tokens ?? [],
    addSpecialTokens: described === undefined ? (recipe.add_special_tokens ?? []) : [...described.keys()],
  });
  if (tokenizer.extended === undefined && !recipe.resize_vocab) return { tokenizer, start: undefined };
  if (method !== "noise_init" && described === undefined)
    warn(
      `init_special_tokens: ${method} needs new_special_tokens_config; the rows begin with noise (noise_init)`,
    );
  const descriptions = method === "noise_init" ? [] : [...(described?.values() ?? [])];
  const start: NewRowInit = {
    method,
    descriptions: await tokenizer.encodeBatch(descriptions),
    tokens: tokenizer.vocabSize,
  };
  return { tokenizer, start };
}

/** Tokens and their descriptions, in the order of the file. */
function readDescriptions(file: string): Map<string, string> {
  const fail = (why: string): never => {
    throw new UserError(
      `new_special_tokens_config: ${file}: ${why}; write lines such as "<token>": "what it means"`,
    );
  };
  let found: unknown;
  try {
    found = yaml().parse(readFileSync(file, "utf8"));
  } catch (error) {
    fail(messageOf(error).split("\n")[0] as string);
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) fail("a mapping is needed");
  const entries = Object.entries(found as Record<string, unknown>);
  for (const [token, description] of entries)
    if (typeof description !== "string") fail(`the description of ${token} must be text`);
  return new Map(entries as [string, string][]);
}

// What a tokenizer.json must have before a library gets it: Hugging Face's ends the process where a merge joins what the
// vocabulary lacks. Not whether it is the right tokenizer.

type Table = Readonly<Record<string, unknown>>;

/** What is wrong with a file's content, in a few words; undefined where nothing is. */
export function tokenizerFault(json: Table, model: object): string | undefined {
  const added = json["added_tokens"] ?? [];
  if (!Array.isArray(added) || !added.every(isAddedToken))
    return "added_tokens must be a list of tokens with an id and a content";
  const { vocab, merges, continuing_subword_prefix: prefix } = model as Table;
  if (typeof vocab !== "object" || vocab === null) return "model.vocab is no table of tokens";
  if (Array.isArray(vocab)) return undefined;
  for (const token in vocab)
    if (!isId((vocab as Table)[token])) return `model.vocab: ${JSON.stringify(token)} has no number`;
  if (merges === undefined || merges === null) return undefined;
  if (!Array.isArray(merges)) return "model.merges is no list";
  const length = typeof prefix === "string" ? prefix.length : 0;
  for (const [at, merge] of merges.entries()) {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (
      !Array.isArray(pair) ||
      pair.length !== 2 ||
      typeof pair[0] !== "string" ||
      typeof pair[1] !== "string"
    )
      return `model.merges: entry ${at + 1} is no pair of tokens`;
    const missing = [pair[0], pair[1], pair[0] + pair[1].slice(length)].find(
      (token) => !Object.hasOwn(vocab, token),
    );
    if (missing !== undefined)
      return `model.merges: entry ${at + 1} needs ${JSON.stringify(missing)}, which the vocabulary lacks`;
  }
  return undefined;
}

function isAddedToken(token: unknown): boolean {
  const { id, content } = (token ?? {}) as { id?: unknown; content?: unknown };
  return isId(id) && typeof content === "string";
}

/** A token's number: Hugging Face's library has 32 bits for it. */
function isId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}

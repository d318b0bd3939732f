// New tokens for a tokenizer: entries of tokenizer.json's `added_tokens`, numbered as Hugging Face's library numbers
// them. How their rows in the embedding are initialised: lib/train.

/** An entry of `added_tokens`. */
export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  [flag: string]: unknown;
}

interface Vocabulary {
  added_tokens?: AddedToken[];
  model: { vocab?: Record<string, number> | [string, number][] };
}

/** Adds tokens in place and returns how many are new. One that the vocabulary has keeps its id. */
export function addTokens(json: Vocabulary, contents: readonly string[], special: boolean): number {
  json.added_tokens ??= [];
  if (contents.length === 0) return 0; // a table of the whole vocabulary takes a while
  const added = json.added_tokens;
  const { vocab = {} } = json.model;
  const words: Map<string, number> = new Map(
    Array.isArray(vocab) ? vocab.map(([word], id) => [word, id]) : Object.entries(vocab),
  );
  let count = 0;
  for (const content of contents) {
    if (content === "" || added.some((token) => token.content === content)) continue;
    const highest = Math.max(-1, ...added.map(({ id }) => id));
    const id = words.get(content) ?? (highest >= words.size ? highest + 1 : words.size);
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: !special };
    added.push({ id, content, ...flags, special });
    count++;
  }
  return count;
}

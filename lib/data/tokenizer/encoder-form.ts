// Which tokenizers the native encoder (native/text) stands in for: those of the form that Qwen's tokenizer.json has, NFC,
// Qwen's pattern, byte-level BPE. Any other is left to Hugging Face's library.

/** What the encoder is told beside the vocabulary: the added tokens, and whether each is met wherever it stands. */
export interface EncoderForm {
  readonly added: readonly (readonly [content: string, id: number, plain: boolean])[];
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly normalized?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly single_word?: boolean;
}

interface BytePairModel {
  readonly type?: string;
  readonly vocab?: unknown;
  readonly merges?: unknown;
  readonly [setting: string]: unknown;
}

/** The `Regex` of the pre-tokenizers that the encoder knows. */
const PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
  "\\s+(?!\\S)|\\s+";

/** The form of a tokenizer.json, or undefined where it asks for something else than the encoder does. */
export function encoderForm(json: Readonly<Record<string, unknown>>): EncoderForm | undefined {
  if (!isNfc(json.normalizer) || !hasPattern(json.pre_tokenizer) || !isPlain(json.model as BytePairModel))
    return undefined;
  const added = (json.added_tokens ?? []) as AddedToken[];
  if (added.some(({ normalized, content }) => normalized && content.normalize("NFC") !== content))
    return undefined;
  const usable = added.filter(({ content }) => content !== "");
  // the others mind their neighbours, or are looked for once the first are taken out
  const isMetAnywhere = (token: AddedToken) =>
    !(token.normalized || token.lstrip || token.rstrip || token.single_word);
  return { added: usable.map((token) => [token.content, token.id, isMetAnywhere(token)]) };
}

const asObject = (value: unknown) =>
  (value !== null && typeof value === "object" ? value : {}) as Readonly<Record<string, unknown>>;

function isNfc(value: unknown): boolean {
  return asObject(value).type === "NFC";
}

/** Whether a tokenizer cuts text by Qwen's pattern into bytes. */
export function hasPattern(value: unknown): boolean {
  const { type, pretokenizers } = asObject(value);
  if (type !== "Sequence" || !Array.isArray(pretokenizers) || pretokenizers.length !== 2) return false;
  const [split, bytes] = pretokenizers.map(asObject);
  return (
    split!.type === "Split" &&
    asObject(split!.pattern).Regex === PATTERN &&
    split!.behavior === "Isolated" &&
    split!.invert !== true &&
    bytes!.type === "ByteLevel" &&
    bytes!.add_prefix_space === false &&
    bytes!.use_regex === false
  );
}

/** Byte pairs without dropout, unknown tokens, marks at words' ends or whole words before merges. */
export function isPlain(model: BytePairModel): boolean {
  const unset = [
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "ignore_merges",
    "byte_fallback",
  ];
  return (
    (model.type === undefined || model.type === "BPE") &&
    unset.every((key) => !model[key]) &&
    model.vocab !== null &&
    typeof model.vocab === "object" &&
    !Array.isArray(model.vocab) &&
    Array.isArray(model.merges)
  );
}

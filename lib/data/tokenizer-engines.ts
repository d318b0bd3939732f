// The two libraries that turn text into ids, behind one small interface: Hugging Face's Rust tokenizers (native) and
// its pure JavaScript port (script), about ten times slower, for systems without a binary.

export type EngineName = "native" | "script";

export interface TokenizerEngine {
  readonly name: EngineName;
  /** Tokens, added ones included. */
  readonly size: number;
  encodeBatch(texts: readonly string[]): Promise<Int32Array[]>;
  tokenToId(token: string): number | undefined;
  idToToken(id: number): string | undefined;
  /** Where the library decodes synchronously. */
  decode?(ids: number[]): string;
  /** How many batches are worth having under way at once; 1 where left out. */
  readonly lanes?: number;
  /** Ends the threads that encoding has started; they start anew when there is more to encode. */
  rest?(): Promise<void>;
}

/**
 * The Rust engine, or undefined where its binary does not load. Throws what the library says of a bad tokenizer.
 *
 * @param json the text of a tokenizer.json
 */
export async function nativeEngine(json: string): Promise<TokenizerEngine | undefined> {
  const library = await import("tokenizers").catch(() => undefined);
  if (library === undefined) return undefined;
  const tokenizer = library.Tokenizer.fromString(json);
  // Settings that a saved tokenizer may carry; cutting and padding are decided elsewhere.
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  return {
    name: "native",
    size: tokenizer.getVocabSize(true),
    async encodeBatch(texts) {
      const encodings = await tokenizer.encodeBatch(texts as string[], { addSpecialTokens: false });
      return encodings.map((encoding) => Int32Array.from(encoding.getIds()));
    },
    tokenToId: (token) => tokenizer.tokenToId(token) ?? undefined,
    idToToken: (id) => tokenizer.idToToken(id) ?? undefined,
  };
}

/** The JavaScript engine. */
export async function scriptEngine(json: object, config: object): Promise<TokenizerEngine> {
  const library = await import("@huggingface/tokenizers");
  const tokenizer = new library.Tokenizer(json, config);
  return {
    name: "script",
    size: tokenizer.get_vocab(true).size,
    async encodeBatch(texts) {
      return texts.map((text) => Int32Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids));
    },
    tokenToId: (token) => tokenizer.token_to_id(token),
    idToToken: (id) => tokenizer.id_to_token(id),
    decode: (ids) =>
      tokenizer.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
  };
}

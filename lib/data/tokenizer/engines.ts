// The two libraries that turn text into ids, behind one small interface: Hugging Face's Rust tokenizers (native) and
// its pure JavaScript port (script), about ten times slower. The first brings binaries of thirteen systems, 65 MB, so it is
// for the user to install; Qwen's tokenizers do without it (quick-engine.ts).

import type { EncodedRows, RowRule } from "./text-addon.js";

/** `native`: Hugging Face's Rust tokenizers. `script`: their pure JavaScript port, about ten times slower. */
export type EngineName = "native" | "script";

/** What turns text into ids, with one library behind it. */
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
  /** Encodes the texts of JSON lines; undefined where it does not at the moment. */
  encodeRows?(rows: Uint8Array, rule: RowRule): Promise<EncodedRows> | undefined;
}

/** Makes an engine again from its inputs; an engine is large, so one that is not in use should be released. */
export type EngineMaker = () => TokenizerEngine;

/**
 * What makes Rust engines, or undefined where the library is not installed or its binary does not load. Making one throws what the library
 * says of a bad tokenizer.
 *
 * @param json the text of a tokenizer.json, UTF-8
 */
export async function nativeEngines(json: Buffer): Promise<EngineMaker | undefined> {
  const library = await import("tokenizers").catch(() => undefined);
  if (library === undefined) return undefined;
  return () => {
    const tokenizer = library.Tokenizer.fromString(json.toString());
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
  };
}

/** What makes JavaScript engines. */
export async function scriptEngines(json: Buffer, config: object): Promise<EngineMaker> {
  const library = await import("@huggingface/tokenizers");
  return () => {
    const tokenizer = new library.Tokenizer(JSON.parse(json.toString()), config);
    return {
      name: "script",
      size: tokenizer.get_vocab(true).size,
      async encodeBatch(texts) {
        return texts.map((text) =>
          Int32Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids),
        );
      },
      tokenToId: (token) => tokenizer.token_to_id(token),
      idToToken: (id) => tokenizer.id_to_token(id),
      decode: (ids) =>
        tokenizer.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
    };
  };
}

/** An engine that is made when it is first asked for, and again after it was let go. */
export class LazyEngine {
  readonly #make: EngineMaker;
  #engine: TokenizerEngine | undefined;

  constructor(make: EngineMaker) {
    this.#make = make;
  }

  /** The engine, made where it is not there. */
  get(): TokenizerEngine {
    this.#engine ??= this.#make();
    return this.#engine;
  }

  /** Whether it is there now. */
  get isMade(): boolean {
    return this.#engine !== undefined;
  }

  /** Lets the engine and all that it holds go. */
  release(): void {
    this.#engine = undefined;
  }
}

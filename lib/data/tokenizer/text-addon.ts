// The only file that loads qwen_pt_text.node, the addon that tokenizes. It lies beside the other, is built with it, and
// has nothing of libtorch: it loads in a moment and takes no lease. Where it does not load nothing is lost but speed.

import { createRequire } from "node:module";
import path from "node:path";
import { addonPath } from "../../torch/native.js";

declare const encoderBrand: unique symbol;
/** An encoder as native code knows it. */
export interface EncoderHandle {
  readonly [encoderBrand]: "encoder";
}

/** Ids of several texts end to end, and how many each has; -1 for a text that is left to the library. */
export interface Encoded {
  readonly ids: Int32Array;
  readonly lengths: Int32Array;
}

/** The texts of JSON lines, encoded: blank lines count among the lines, not among the texts. */
export interface EncodedRows extends Encoded {
  /** Three numbers for each row that is left: where it begins and ends, and its line, from 0. */
  readonly left: Int32Array;
  readonly lines: number;
}

/** How a row's text is put together. */
export interface RowRule {
  /** Columns of text; joined by a newline, empty ones left out. A row that lacks one is left. */
  readonly columns: readonly string[];
  /** Put before every text that is not empty. */
  readonly tag: string;
  /** Put behind every text. */
  readonly separator: string;
}

/** What the addon exports: see native/text/text_addon.cc. */
export interface TextAddon {
  makeEncoder(
    json: Uint8Array,
    added: readonly (readonly [string, number, boolean])[],
  ): EncoderHandle | undefined;
  encodeTexts(encoder: EncoderHandle, texts: readonly string[]): Promise<Encoded>;
  /** @param rows UTF-8 that is well-formed; it must not change meanwhile */
  encodeRows(encoder: EncoderHandle, rows: Uint8Array, rule: RowRule): Promise<EncodedRows>;
}

let loaded: TextAddon | null | undefined;

/** The addon, loaded at first use, or undefined where it has not been built or does not load. */
export function textAddon(): TextAddon | undefined {
  loaded ??= load() ?? null;
  return loaded ?? undefined;
}

function load(): TextAddon | undefined {
  const beside = addonPath();
  if (beside === undefined) return undefined;
  try {
    return createRequire(import.meta.url)(path.join(path.dirname(beside), "qwen_pt_text.node")) as TextAddon;
  } catch {
    return undefined;
  }
}

// Writes native/text/unicode_classes.h: what the native encoder must know of each character, from Node's own ICU.
//   node scripts/generate/unicode.mjs
// A class is given only to characters whose class Hugging Face's tokenizers sees the same way and that stay what they
// are under NFC whatever stands before them; of all others the encoder says that it does not know them, and the library
// takes the text. So an ICU that knows later characters than the library's tables must leave them out: NEWER.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const target = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  "../..",
  "native/text/unicode_classes.h",
);

export const UNKNOWN = 0;
export const LETTER = 1;
export const NUMBER = 2;
export const SPACE = 3;
export const LINE_END = 4;
export const OTHER = 5;
/** As OTHER, and NFC may put it into another order where it follows one of its kind. */
export const MARK = 6;

/** Unicode's White_Space, by which the pattern's library decides; JavaScript's \s differs in two characters. */
const SPACES = /^[\t\v\f \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/;
/** U+017F is an s to the pattern's contractions. */
const FOLDED = new Set([0x017f]);
/** Letters and numbers of Unicode 17, which the library's tables (Unicode 16) do not know. */
const NEWER = [
  [0x88f, 0x88f],
  [0xc5c, 0xc5c],
  [0xcdc, 0xcdc],
  [0xa7ce, 0xa7cf],
  [0xa7d2, 0xa7d2],
  [0xa7d4, 0xa7d4],
  [0xa7f1, 0xa7f1],
  [0x10940, 0x10959],
  [0x10ec5, 0x10ec7],
  [0x11db0, 0x11ddb],
  [0x11de0, 0x11de9],
  [0x16ea0, 0x16eb8],
  [0x16ebb, 0x16ed3],
  [0x16ff2, 0x16ff6],
  [0x187f8, 0x187ff],
  [0x18d09, 0x18d1e],
  [0x18d80, 0x18df2],
  [0x1e6c0, 0x1e6de],
  [0x1e6e0, 0x1e6e2],
  [0x1e6e4, 0x1e6e5],
  [0x1e6e7, 0x1e6ed],
  [0x1e6f0, 0x1e6f4],
  [0x1e6fe, 0x1e6ff],
  [0x2b73a, 0x2b73f],
  [0x2cea2, 0x2cead],
  [0x323b0, 0x33479],
];

/** Characters that NFC may join to the one before them: all but the first of every decomposition. */
function joining() {
  const found = new Set();
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const [, ...rest] = String.fromCodePoint(code).normalize("NFD");
    for (const character of rest) found.add(character.codePointAt(0));
  }
  return found;
}

/** Whether a character has a canonical combining class: NFC sorts it among its neighbours (U+0334 is of class 1). */
function isSorted(character) {
  const moves = (text) => text.normalize("NFD") !== text && [...text.normalize("NFD")].length === 2;
  return moves(`${character}\u0334`) || moves(`\u0315${character}`);
}

function classOf(code, joins) {
  if (code >= 0xd800 && code <= 0xdfff) return UNKNOWN;
  if (FOLDED.has(code) || NEWER.some(([from, to]) => code >= from && code <= to)) return UNKNOWN;
  const character = String.fromCodePoint(code);
  if (code === 0x0a || code === 0x0d) return LINE_END;
  if (/\p{Cn}/u.test(character) || character.normalize("NFC") !== character) return UNKNOWN;
  if (joins.has(code)) return UNKNOWN;
  if (SPACES.test(character)) return SPACE;
  if (/\p{L}/u.test(character)) return LETTER;
  if (/\p{N}/u.test(character)) return NUMBER;
  return /\p{M}/u.test(character) && isSorted(character) ? MARK : OTHER;
}

/** Ranges [first, last, class] of all characters that are known, in order. */
export function classRanges() {
  const joins = joining();
  const ranges = [];
  for (let code = 0; code <= 0x10ffff; code++) {
    const kind = classOf(code, joins);
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === code - 1 && last[2] === kind) last[1] = code;
    else if (kind !== UNKNOWN) ranges.push([code, code, kind]);
  }
  return ranges;
}

function header(ranges) {
  const hex = (code) => `0x${code.toString(16)}`;
  const cells = ranges.map(([first, last, kind]) => `{${hex(first)}, ${hex(last)}, ${kind}}`);
  const lines = [];
  for (let at = 0; at < cells.length; at += 4) lines.push(`    ${cells.slice(at, at + 4).join(", ")},`);
  return `// Made by scripts/generate/unicode.mjs from ICU's Unicode ${process.versions.unicode}; not to be edited. What the pattern of Qwen's
// tokenizers must know of a character; one that is in no range is not known, and its text is left to the library.
#pragma once

#include <cstdint>

namespace qwen_pt {

enum class CharClass : uint8_t { Unknown, Letter, Number, Space, LineEnd, Other, Mark };

struct ClassRange {
  uint32_t first;
  uint32_t last;
  uint8_t kind;  // CharClass
};

inline constexpr ClassRange kClassRanges[] = {
${lines.join("\n")}
};

}  // namespace qwen_pt
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = header(classRanges());
  if (process.argv[2] === "--check") process.exitCode = readFileSync(target, "utf8") === text ? 0 : 1;
  else writeFileSync(target, text);
}

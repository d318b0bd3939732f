// Cuts text into the pieces that byte pairs are merged within, by the pattern of Qwen2's and Qwen3's tokenizers:
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N} | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+
//   | \s+(?!\S) | \s+
// It does so for text of characters whose class no version of Unicode has changed and that stay what they are under
// NFC, whatever stands beside them: Chinese, Japanese, Korean, Latin, Greek, Cyrillic, the usual signs. Of other
// text it says that it is other text.

/** The `Regex` of pre-tokenizers that this file stands for. */
export const PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
  "\\s+(?!\\S)|\\s+";

const UNKNOWN = 0;
const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const LINE_END = 4;
const OTHER = 5;

/** Ranges of the basic plane whose characters have kept their class; what is excepted inside follows from classOf. */
const KNOWN: readonly (readonly [number, number])[] = [
  [0x0000, 0x017e], // Latin; U+017F is an s to some patterns
  [0x0180, 0x024f],
  [0x0391, 0x03ce], // Greek
  [0x0400, 0x04ff], // Cyrillic
  [0x2000, 0x2064], // punctuation
  [0x2070, 0x209c],
  [0x20a0, 0x20bf],
  [0x2100, 0x2189], // letterlike signs, number forms
  [0x2190, 0x23ff], // arrows, mathematics, technical signs
  [0x2460, 0x27bf], // enclosed numbers, boxes, dingbats
  [0x3000, 0x312d], // CJK punctuation, kana, bopomofo
  [0x3190, 0x319f],
  [0x3200, 0x33ff],
  [0x3400, 0x4db5], // Han, extension A
  [0x4dc0, 0x4dff],
  [0x4e00, 0x9fd5], // Han
  [0xac00, 0xd7a3], // Hangul
  [0xe000, 0xf8ff], // private use
  [0xfe00, 0xfe0f], // variation selectors
  [0xfe30, 0xfe4f],
  [0xff01, 0xffbe],
  [0xffe0, 0xffee],
  [0xfffd, 0xfffd],
];
/** Han of the extensions B to E, and pictures. */
const KNOWN_BEYOND: readonly (readonly [number, number, number])[] = [
  [0x20000, 0x2a6d6, LETTER],
  [0x2a700, 0x2b734, LETTER],
  [0x2b740, 0x2b81d, LETTER],
  [0x2b820, 0x2cea1, LETTER],
  [0x1f300, 0x1faff, OTHER],
];
/** Unicode's White_Space, by which the pattern's library decides; JavaScript's \s differs in two characters. */
const SPACES = /[\t\v\f \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** The class of each UTF-16 unit of the basic plane. */
function classTable(): Uint8Array {
  const table = new Uint8Array(0x10000);
  for (const [from, to] of KNOWN) {
    for (let code = from; code <= to; code++) table[code] = classOf(String.fromCharCode(code), code);
  }
  return table;
}

function classOf(character: string, code: number): number {
  if (code === 0x0a || code === 0x0d) return LINE_END;
  if (code >= 0xfe00 && code <= 0xfe0f) return OTHER;
  // marks may compose with what stands before them; some characters are written otherwise under NFC
  if (/[\p{M}\p{Cn}]/u.test(character) || character.normalize("NFC") !== character) return UNKNOWN;
  if (SPACES.test(character)) return SPACE;
  return /\p{L}/u.test(character) ? LETTER : /\p{N}/u.test(character) ? NUMBER : OTHER;
}

let classes: Uint8Array | undefined;

function knownClasses(): Uint8Array {
  classes ??= classTable();
  return classes;
}

/** What becomes of a piece: its UTF-8 bytes are the first `length` of `bytes`. */
export type OnPiece = (bytes: Uint8Array, length: number) => void;

/** Cuts texts; one instance for one thread. */
export class Pieces {
  readonly #classes = knownClasses();
  #text = "";
  /** Class of every unit of the text; both halves of a pair have the pair's. */
  #kinds = new Uint8Array(1 << 12);
  #bytes = new Uint8Array(1 << 12);

  /** Reads a text for `cut`; false where it has a character that is not known here. */
  read(text: string): boolean {
    const classes = this.#classes;
    const { length } = text;
    if (this.#kinds.length < length + 1) {
      this.#kinds = new Uint8Array(2 ** Math.ceil(Math.log2(length + 1)));
      this.#bytes = new Uint8Array(3 * this.#kinds.length);
    } else if (this.#bytes.length < 3 * length) this.#bytes = new Uint8Array(3 * this.#kinds.length);
    const kinds = this.#kinds;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      const kind = classes[unit]!;
      if (kind !== UNKNOWN) kinds[i] = kind;
      else {
        const pair = (unit & 0xfc00) === 0xd800 ? beyond(text.codePointAt(i)!) : UNKNOWN;
        if (pair === UNKNOWN) return false;
        kinds[i] = pair;
        kinds[++i] = pair;
      }
    }
    kinds[length] = UNKNOWN;
    this.#text = text;
    return true;
  }

  /** Hands every piece of the text that was read to `onPiece`, in order; the bytes are valid until it returns. */
  cut(onPiece: OnPiece): void {
    const { length } = this.#text;
    for (let at = 0; at < length; ) {
      const end = this.#end(at);
      onPiece(this.#bytes, this.#encode(at, end));
      at = end;
    }
  }

  /** Where the piece that begins at `at` ends. */
  #end(at: number): number {
    const kinds = this.#kinds;
    const kind = kinds[at]!;
    if (kind === LETTER) return this.#past(at, LETTER);
    if (kind === NUMBER) return at + this.#width(at);
    if (kind === OTHER) {
      const contraction = this.#text.charCodeAt(at) === 0x27 ? this.#contraction(at) : 0;
      if (contraction > 0) return at + contraction;
    }
    const after = at + this.#width(at);
    if (kind !== LINE_END && kinds[after] === LETTER) return this.#past(after, LETTER);
    if (kind === OTHER) return this.#past(this.#past(at, OTHER), LINE_END);
    if (this.#text.charCodeAt(at) === 0x20 && kinds[after] === OTHER)
      return this.#past(this.#past(after, OTHER), LINE_END);
    return this.#white(at);
  }

  /** \s*[\r\n]+, else \s+(?!\S), else \s+ */
  #white(at: number): number {
    const kinds = this.#kinds;
    let end = at;
    let lines = -1;
    for (; kinds[end] === SPACE || kinds[end] === LINE_END; end++) if (kinds[end] === LINE_END) lines = end;
    if (lines >= 0) return lines + 1;
    return end < this.#text.length && end - at > 1 ? end - 1 : end;
  }

  #past(at: number, kind: number): number {
    const kinds = this.#kinds;
    let end = at;
    while (kinds[end] === kind) end++;
    return end;
  }

  #width(at: number): number {
    return (this.#text.charCodeAt(at) & 0xfc00) === 0xd800 ? 2 : 1;
  }

  /** Units of 's, 't, 're, 've, 'm, 'll or 'd, in either case; 0 where there is none. */
  #contraction(at: number): number {
    const first = this.#text.charCodeAt(at + 1) | 0x20;
    if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return 2;
    const second = this.#text.charCodeAt(at + 2) | 0x20;
    const isPair =
      (first === 0x72 && second === 0x65) || // re
      (first === 0x76 && second === 0x65) || // ve
      (first === 0x6c && second === 0x6c); // ll
    return isPair ? 3 : 0;
  }

  /** UTF-8 of the units from `at` to `end`; returns its length. */
  #encode(at: number, end: number): number {
    const text = this.#text;
    const bytes = this.#bytes;
    let length = 0;
    for (let i = at; i < end; i++) {
      let code = text.charCodeAt(i);
      if (code < 0x80) bytes[length++] = code;
      else if (code < 0x800) {
        bytes[length++] = 0xc0 | (code >> 6);
        bytes[length++] = 0x80 | (code & 0x3f);
      } else if ((code & 0xfc00) !== 0xd800) {
        bytes[length++] = 0xe0 | (code >> 12);
        bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
        bytes[length++] = 0x80 | (code & 0x3f);
      } else {
        code = text.codePointAt(i++)!;
        bytes[length++] = 0xf0 | (code >> 18);
        bytes[length++] = 0x80 | ((code >> 12) & 0x3f);
        bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
        bytes[length++] = 0x80 | (code & 0x3f);
      }
    }
    return length;
  }
}

function beyond(code: number): number {
  for (const [from, to, kind] of KNOWN_BEYOND) if (code >= from && code <= to) return kind;
  return UNKNOWN;
}

// The byte-level alphabet of GPT-2's and Qwen's vocabularies: every byte is written as one visible character.
// Here its characters, and the way back from a token's characters to its bytes.

const BYTE_OF = new Map<string, number>();
{
  // Printable bytes stand for themselves; the others follow from U+0100 on, in order.
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++)
    BYTE_OF.set(String.fromCodePoint(printable(byte) ? byte : next++), byte);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The character of each byte. */
export function byteAlphabet(): string[] {
  const symbols: string[] = new Array(256);
  for (const [symbol, byte] of BYTE_OF) symbols[byte] = symbol;
  return symbols;
}

/** The text of a sequence of byte-level tokens; incomplete UTF-8 becomes U+FFFD. */
export function decodeByteLevel(tokens: readonly string[]): string {
  const bytes: number[] = [];
  for (const token of tokens) {
    const own = Array.from(token, (character) => BYTE_OF.get(character));
    // A token with a character outside the alphabet is an added one, written as plain text.
    if (own.every((byte) => byte !== undefined)) bytes.push(...(own as number[]));
    else bytes.push(...encoder.encode(token));
  }
  return decoder.decode(Uint8Array.from(bytes));
}

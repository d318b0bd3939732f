// What to say of bytes that are not UTF-8: the encoding that they most likely have, and the command that converts them.

import { isUtf8 } from "node:buffer";
import path from "node:path";
import { UserError } from "../../errors.js";

// The commonest characters of Chinese text, simplified and traditional: wrongly decoded text has few of them.
const COMMON = new Set(
  "的一是了不在有人我他這这個个們们中來来上大為为和國国地到以說说時时要就出會会可也你對对生能而子得于於著着下自之年過过發发後后作裡里，。、「」！？",
);

/** Encodings that are tried, by the name that TextDecoder and iconv both know. */
const CANDIDATES = ["gb18030", "big5", "utf-16le", "utf-16be"] as const;

/**
 * The error for bytes that are not UTF-8.
 *
 * @param place file and line, for the message
 * @param bytes the row or line that holds the defect
 */
export function notUtf8(file: string, place: string, bytes: Buffer): UserError {
  const found = guess(bytes);
  const made = `new${path.extname(file)}`;
  if (found === undefined) {
    return new UserError(
      `${place}: not valid UTF-8, and its encoding is not known: convert the file, or, where it is only damaged, leave ` +
        `out the bad bytes: iconv -c -f UTF-8 -t UTF-8 ${file} > ${made}`,
    );
  }
  return new UserError(
    `${place}: not valid UTF-8 but ${found === "GB18030" ? "GBK (GB18030)" : found}; convert the file: ` +
      `iconv -f ${found} -t UTF-8 ${file} > ${made}`,
  );
}

/** Whether the head of a file is UTF-16, which may pass for UTF-8 where the text is English. */
export function isUtf16(head: Buffer): boolean {
  if (head.length < 2) return false;
  const mark = head.readUInt16BE(0);
  if (mark === 0xfffe || mark === 0xfeff) return true;
  const zeros = [0, 0];
  for (let at = 0; at < head.length; at++) if (head[at] === 0) zeros[at % 2]!++;
  return Math.max(...zeros) * 4 > head.length;
}

function guess(bytes: Buffer): string | undefined {
  const sample = bytes.subarray(0, 4096);
  if (isUtf16(sample)) {
    const little = sample[0] === 0xff || sample.subarray(0, 64).indexOf(0) % 2 === 1;
    return sample.readUInt16BE(0) >= 0xfeff ? "UTF-16" : little ? "UTF-16LE" : "UTF-16BE";
  }
  let best: string | undefined;
  let most = 0;
  for (const name of CANDIDATES) {
    const share = familiar(name, sample);
    if (share > most) [best, most] = [name.toUpperCase(), share];
  }
  return best;
}

/** How much a decoded text looks like Chinese; 0 where the bytes do not decode, or to no Chinese at all. */
function familiar(encoding: string, bytes: Buffer): number {
  // A sample may end inside a character: up to three bytes less are tried before it counts as undecodable.
  for (let cut = 0; cut < 4; cut++) {
    try {
      const text = new TextDecoder(encoding, { fatal: true }).decode(bytes.subarray(0, bytes.length - cut));
      let common = 0;
      let hanzi = 0;
      for (const character of text) {
        if (COMMON.has(character)) common++;
        else if (character >= "\u4e00" && character <= "\u9fff") hanzi++;
      }
      // Two ASCII characters read as one of UTF-16 are a rare hanzi: there only the common ones tell.
      if (encoding.startsWith("utf-16")) return common * 20 > text.length ? common / text.length : 0;
      return (4 * common + hanzi) / (4 * text.length);
    } catch {}
  }
  return 0;
}

/** @throws UserError where the bytes of one row or line are not UTF-8 */
export function requireUtf8(bytes: Buffer, file: string, place: string): string {
  if (!isUtf8(bytes)) throw notUtf8(file, place, bytes);
  return bytes.toString("utf8");
}

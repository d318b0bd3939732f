// Hand-made safetensors files for the tests, right and wrong ones. Independent of the code under test.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** A file's bytes: the header's length, the header, the data. `length` lies about the header where it is given. */
export function fileBytes(header: string | Buffer, data: Buffer | number = 0, length?: bigint): Buffer {
  const json = Buffer.from(header as string);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([prefix, json, typeof data === "number" ? Buffer.alloc(data) : data]);
}

/** A member of a header: `"name":{"dtype":...}`. Numbers may be given as text, to write what JSON.stringify cannot. */
export function entry(name: string, dtype: string, shape: string, offsets: string): string {
  return `${JSON.stringify(name)}:{"dtype":${JSON.stringify(dtype)},"shape":[${shape}],"data_offsets":[${offsets}]}`;
}

/** A folder of the test's own. */
export function temporaryFolder(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), "qwen-pt-safetensors-"));
}

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

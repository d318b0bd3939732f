// Blocks beside those that a fixture describes: the folder, all of them, and the hash by which the makers know them.
import { createHash } from "node:crypto";
import path from "node:path";
import type { TokenBlocks } from "../../../lib/data/index.js";

export const FIXTURES = path.join(import.meta.dirname, "../../fixtures/data");

export const allBlocks = (blocks: TokenBlocks): Int32Array[] =>
  Array.from({ length: blocks.length }, (_, i) => blocks.get(i));

/** sha256 of the ids, joined by commas, a block a line. */
export const digest = (blocks: readonly Int32Array[]): string =>
  createHash("sha256")
    .update(blocks.map((ids) => ids.join(",")).join("\n"))
    .digest("hex");

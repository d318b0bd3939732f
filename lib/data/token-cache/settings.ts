// Where the cache of tokens is and how large it may grow: QWEN_PT_TOKEN_CACHE, inside the package's cache folder.

import path from "node:path";
import { UserError } from "../../errors.js";
import { cacheFolder } from "../../files/cache-folder.js";

/** Where the cache of tokens is and how large it may grow. */
export interface CacheSettings {
  readonly folder: string;
  /** Bytes of all entries together. */
  readonly limit: number;
}

const DEFAULT_LIMIT = 20e9;
const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/**
 * The settings, or undefined where the cache is turned off (`QWEN_PT_TOKEN_CACHE=off`, or 0).
 *
 * @throws UserError for a value that is neither a size nor `off`
 */
export function cacheSettings(env: NodeJS.ProcessEnv = process.env): CacheSettings | undefined {
  const value = (env["QWEN_PT_TOKEN_CACHE"] ?? "").trim();
  if (/^(off|0|no|false)$/i.test(value)) return undefined;
  const folder = path.join(cacheFolder(), "tokens");
  if (value === "") return { folder, limit: DEFAULT_LIMIT };
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)B?$/i.exec(value) ?? [];
  if (number === undefined) {
    throw new UserError(
      `QWEN_PT_TOKEN_CACHE: expected a size such as 5GB, or off, received ${JSON.stringify(value)}`,
    );
  }
  return { folder, limit: Number(number) * UNITS[unit.toUpperCase()]! };
}

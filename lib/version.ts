// The version in package.json; a leaf that anyone may import. Reads one small file and loads nothing.
import { readFileSync } from "node:fs";

/** The package's version, such as 0.1.0. */
export function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

// The YAML library, loaded at its first use: its 72 files are a sixth of the time that `import "qwen-pt"` would take, and
// a program that gives its recipe as an object never reads YAML. A leaf that anyone may import.
import { createRequire } from "node:module";

let library: typeof import("yaml") | undefined;

/** The package `yaml`. */
export function yaml(): typeof import("yaml") {
  library ??= createRequire(import.meta.url)("yaml") as typeof import("yaml");
  return library;
}

// The options of every command, once: what its arguments may be, what an unknown option is answered with, and what a
// shell completes.

/** Options with a value (`--prompt TEXT`), and switches without one (`--force`). */
export interface CommandOptions {
  readonly values?: readonly string[];
  readonly switches?: readonly string[];
  /** Whether `key=value` pairs of a recipe may follow. */
  readonly recipe?: boolean;
  /** Words that may stand after the command. */
  readonly words?: readonly string[];
}

export const OPTIONS: Readonly<Record<string, CommandOptions>> = {
  init: { values: ["model", "data", "column", "method", "output"], switches: ["yes", "force"] },
  train: { switches: ["json"], recipe: true },
  estimate: { switches: ["json"], recipe: true },
  export: { recipe: true },
  chat: { values: ["model", "adapter", "prompt"], recipe: true },
  eval: {
    values: ["model", "adapter", "before", "data", "dataset-dir", "length", "documents", "output"],
    switches: ["json"],
  },
  download: { values: ["revision", "cache-dir", "adapter"] },
  corpora: { switches: ["json"] },
  setup: { values: ["build"], switches: ["plan", "force"] },
  doctor: { values: ["device", "output"], switches: ["json", "gpu", "quick"] },
  env: { switches: ["json"] },
  completion: { words: ["bash", "zsh", "fish"] },
  version: { switches: ["json"] },
};

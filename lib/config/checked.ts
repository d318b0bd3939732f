// What the rules work on: the keys as they were read, and what surrounds them. Types alone.

import type { Command } from "./key.js";
import type { Recipe } from "./schema.js";

/** The result: the recipe with defaults filled in, the keys that were set, and the notes to show. */
export interface Checked {
  readonly recipe: Recipe;
  readonly given: Set<string>;
  readonly notes: string[];
}

/** The surroundings of the rules. */
export interface Setting {
  readonly command: Command;
  readonly env: NodeJS.ProcessEnv;
  /** Names the recipe in messages. */
  readonly source: string;
  /** Where a key was given, for messages. */
  where(key: string): string;
  /** A recipe from a file must say do_train; a call of train() says it by itself. */
  readonly fromFile: boolean;
}

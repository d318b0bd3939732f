// A key of a recipe described in Chinese, from what lib/config says of it in English. For `qwen-pt help KEY`, and for
// docs/zh/recipe.md.
import { INCREMENTAL } from "./incremental.js";
import { MODEL_AND_DATA } from "./model-and-data.js";
import { phrase, REASONS } from "./phrases.js";
import { TRAINING } from "./training.js";
import { WITHOUT_EFFECT } from "./without-effect.js";

/** What there is to say of a key: KeyDescription of lib/config has it. */
interface Described {
  readonly name: string;
  readonly type: string;
  readonly default: string;
  readonly doc: string;
  readonly reason?: string;
}

const MEANINGS: Readonly<Record<string, string>> = {
  ...MODEL_AND_DATA,
  ...TRAINING,
  ...INCREMENTAL,
  ...WITHOUT_EFFECT,
};

/** Names of all keys that have a line in Chinese. */
export const chineseKeys = (): string[] => Object.keys(MEANINGS);

/** The description in Chinese. What has no line stays in English; a test holds that nothing has to. */
export function keyInChinese<K extends Described>(key: K): K {
  const { reason } = key;
  return {
    ...key,
    doc: MEANINGS[key.name] ?? key.doc,
    type: phrase(key.type) ?? key.type,
    default: phrase(key.default) ?? key.default,
    ...(reason === undefined ? {} : { reason: REASONS[reason] ?? reason }),
  };
}

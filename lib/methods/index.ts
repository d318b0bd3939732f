// What a recipe adds for incremental pre-training: the public names.
export {
  entryText,
  extendTokenizer,
  type LearnOptions,
  learnMerges,
  type NewEntry,
  nextId,
  type TokenizerJson,
} from "./learn-merges.js";

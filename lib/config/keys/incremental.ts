// The schema's table of keys for incremental pre-training that LLaMA-Factory does not have: what the six reasons need.
import { choice, flag, float, inGroup, int, list } from "../key.js";
import { languageTags } from "../values/language-tags.js";

export const incrementalKeys = inGroup("incremental", ["train"], {
  eval_domains: list({
    default: null,
    doc: "Datasets of held-out text, one a domain, scored before the first step and after the last: perplexity, bits per character and next-token accuracy, in a table and in domain_results.json.",
  }),
  extend_vocab: int({
    default: null,
    min: 1,
    doc: "Learn so many new entries for the tokenizer from a corpus that it splits badly, and train their rows.",
  }),
  extend_vocab_dataset: list({
    default: null,
    defaultText: "the training datasets",
    doc: "Datasets of dataset_info.json that extend_vocab learns from.",
  }),
  extend_vocab_min_count: int({
    default: 8,
    min: 2,
    doc: "Least number of times that two tokens must stand side by side for extend_vocab to join them.",
  }),
  extend_vocab_init: choice({
    default: "mean",
    values: ["mean", "noise"],
    doc: "How rows of new entries and language tags begin: the mean of the rows of the pieces that they replace, or the mean of all rows with noise.",
  }),
  embedding_learning_rate: float({
    default: null,
    defaultText: "learning_rate",
    above: 0,
    doc: "Learning rate of the embedding's and the head's trained rows, on the same schedule as the others.",
  }),
  language_tag: languageTags,
  add_language_tags: flag({
    default: null,
    defaultText: "true with extend_vocab, else false",
    doc: "Make each language tag one token with a row of its own; otherwise it is plain text.",
  }),
});

// The schema's table of keys for incremental pre-training that LLaMA-Factory does not have: what the six reasons need.
import { choice, flag, float, inGroup, int, list } from "../key.js";
import { languageTags } from "../values/language-tags.js";

export const incrementalKeys = inGroup("incremental", ["train"], {
  merge_micro_batches: flag({
    default: false,
    doc: "Compute the micro-batches of an optimizer step as one batch, as many at a time as memory allows: fewer and larger passes, for devices that small ones leave idle. Losses and gradients are the same but for the order of sums; dropout and NEFTune's noise draw other numbers.",
  }),
  cuda_graphs: flag({
    default: false,
    doc: "On a CUDA device, record a micro-step of each shape once and replay it as one graph: for small batches, whose kernels end faster than they are launched. Needs a library that `node scripts/cuda-graph.mjs` builds; where a run cannot have graphs, a line says why and it trains without.",
  }),
  layer_offload: choice({
    default: null,
    values: ["disk"],
    doc: "Leave the frozen weights in the model's file while an adapter is trained: the system reads each block's while the block before it computes, and lets go of them when it has. Slower by what the disk falls behind, in the memory of a few blocks; the numbers are the same to the bit (docs/quantization.md).",
  }),
  quantization_compute: choice({
    default: null,
    values: ["int8"],
    doc: "Multiply by the frozen linear layers in 8-bit integers, forward and for the gradient, while an adapter is trained beside them: weights are rounded once, activations and gradients token by token. Faster than 16 bits on a processor with AVX2, with half of the weights' memory, and less exact (docs/quantization.md).",
  }),
  eval_domains: list({
    default: null,
    doc: "Datasets of held-out text, one per domain, scored before the first step and after the last: perplexity, bits per character and next-token accuracy, in a table and in domain_results.json.",
  }),
  extend_vocab: int({
    default: null,
    min: 1,
    doc: "Learn this many new entries for the tokenizer from a corpus that it splits badly, and train their rows.",
  }),
  extend_vocab_dataset: list({
    default: null,
    defaultText: "the training datasets",
    doc: "Datasets of dataset_info.json that extend_vocab learns from.",
  }),
  extend_vocab_min_count: int({
    default: 8,
    min: 2,
    doc: "Minimum number of times that two tokens must be adjacent for extend_vocab to merge them.",
  }),
  extend_vocab_init: choice({
    default: "mean",
    values: ["mean", "noise"],
    doc: "How the rows of new entries and language tags are initialised: the mean of the rows of the pieces that they replace, or the mean of all rows with noise.",
  }),
  embedding_learning_rate: float({
    default: null,
    defaultText: "learning_rate",
    above: 0,
    doc: "Learning rate of the trained rows of the embedding and the head, on the same schedule as the others.",
  }),
  language_tag: languageTags,
  add_language_tags: flag({
    default: null,
    defaultText: "true with extend_vocab, otherwise false",
    doc: "Make each language tag a single token with its own embedding row; otherwise it is plain text.",
  }),
});

// Mistakes with a learned vocabulary, language tags and whole-file documents.
import type { Mistake } from "./room.js";

export const VOCABULARY: Mistake[] = [
  {
    name: "no entries to learn",
    keys: { extend_vocab: 0 },
    line: /recipe\.yaml:\d+: extend_vocab: expected an integer, at least 1, received 0/,
  },
  {
    name: "entries to learn, not their number",
    keys: { extend_vocab: "mean" },
    line: /recipe\.yaml:\d+: extend_vocab: expected an integer, at least 1, received "mean"/,
  },
  {
    name: "an unknown way to begin rows",
    keys: { extend_vocab: 10, extend_vocab_init: "zero" },
    line: /extend_vocab_init: expected one of mean, noise, received "zero"/,
  },
  {
    name: "nothing common enough to learn",
    keys: { extend_vocab: 10, extend_vocab_min_count: 100000 },
    line: /extend_vocab: no two tokens stand side by side 100000 times in \d+ documents; give a larger corpus, or lower/,
  },
  {
    name: "a corpus to learn from that is not there",
    keys: { extend_vocab: 10, extend_vocab_dataset: "prose" },
    line: /dataset: prose is not defined in data\/dataset_info\.json, which has: one, two/,
  },
  {
    name: "a tokenizer that nothing can be learned for",
    keys: { extend_vocab: 10 },
    make: (room) => room.json("model/tokenizer.json", { pre_tokenizer: { type: "Whitespace" } }),
    line: /extend_vocab: tokenizer\.json is not of the form that entries are learned for/,
  },
  {
    name: "a learned vocabulary for a model in 4 bits",
    keys: { extend_vocab: 10, quantization_bit: 4, finetuning_type: "lora" },
    line: /recipe\.yaml:\d+: extend_vocab: the tables of a quantized model are not resized; remove it, or train without quantization_bit/,
  },
  {
    name: "a vocabulary resized for integers",
    keys: { resize_vocab: true, quantization_compute: "int8", finetuning_type: "lora" },
    line: /recipe\.yaml:\d+: resize_vocab: the tables of a quantized model are not resized; .* without quantization_compute/,
  },
  {
    name: "a learned vocabulary for an adapter",
    keys: { extend_vocab: 10, adapter_name_or_path: "adapter" },
    line: /recipe\.yaml:\d+: extend_vocab: an adapter is trained on with the vocabulary that it was made for; export/,
  },
  {
    name: "learned entries beside described tokens",
    keys: { extend_vocab: 10, new_special_tokens_config: "tokens.yaml" },
    line: /extend_vocab: it excludes new_special_tokens_config, .*; keep one of the two/,
  },
  {
    name: "an embedding that does not learn",
    keys: { embedding_learning_rate: 0 },
    line: /embedding_learning_rate: expected a number, above 0, received 0/,
  },
  {
    name: "a language tag with a space",
    keys: { language_tag: "zh yue" },
    line: /language_tag: expected a tag such as zh-yue or \[lang=zh-yue\], without spaces, or a mapping/,
  },
  {
    name: "a language tag for a dataset that the recipe does not have",
    keys: { language_tag: { three: "zh" } },
    line: /language_tag: three is no dataset of this recipe, which has: one/,
  },
  {
    name: "a language tag in dataset_info.json that is none",
    make: (room) =>
      room.json("data/dataset_info.json", {
        one: { file_name: "one.jsonl", columns: { prompt: "text" }, language_tag: ["zh"] },
      }),
    line: /data\/dataset_info\.json: one: language_tag must be a tag such as .*, not \["zh"\]/,
  },
];

// The schema's table of data keys: which documents are read and how they become blocks.
import {
  choice,
  custom,
  flag,
  float,
  inGroup,
  int,
  list,
  Mismatch,
  Refusal,
  refused,
  silent,
  text,
} from "../key.js";

const SFT = "only read in supervised fine-tuning";

export const dataKeys = inGroup("data", ["train"], {
  dataset: list({
    default: [],
    defaultText: "required by train",
    doc: "Names of datasets in dataset_info.json; several are mixed by mix_strategy, in this order.",
  }),
  dataset_dir: custom<string>({
    default: "data",
    type: "text",
    wantsText: true,
    json: { type: "string" },
    doc: "Folder that holds dataset_info.json and the files that it names; ONLINE where the datasets are names on a hub.",
    read(value) {
      if (typeof value !== "string" || value === "") throw new Mismatch("the path of a folder");
      if (value.startsWith("REMOTE:")) {
        throw new Refusal(
          "dataset_info.json of a repository is not fetched; download it and name its folder",
        );
      }
      return value;
    },
  }),
  cutoff_len: int({
    default: 2048,
    min: 2,
    doc: "Tokens in a block (with packing), or the maximum number of tokens of a document (without).",
  }),
  packing: flag({
    default: true,
    doc: "Join documents and cut them into blocks of cutoff_len; `true` written out makes blocks one token shorter.",
  }),
  max_samples: int({
    default: null,
    min: 1,
    doc: "Take this many documents of each dataset, the first ones.",
  }),
  preprocessing_batch_size: int({
    default: 1000,
    min: 1,
    doc: "Documents packed together; each such batch drops the tokens that do not fill a block.",
  }),
  preprocessing_num_workers: int({
    default: null,
    min: 1,
    doc: "Number of shards that the documents are cut into before packing, which shapes the blocks.",
  }),
  template: text({
    default: null,
    doc: "Chat template by name; here it only decides the separator between documents and the padding token.",
  }),
  overwrite_cache: flag({
    default: false,
    doc: "Tokenize again, whatever the token cache holds, and replace what it holds.",
  }),
  data_shared_file_system: silent(
    "one process reads the data",
    flag({ default: false, doc: "The nodes share a file system." }),
  ),
  media_dir: silent(
    "Qwen3 reads text only",
    text({ default: null, doc: "Folder of images, videos and sound." }),
  ),
  eval_dataset: list({
    default: null,
    doc: "Names of datasets to evaluate on; several are mixed as the training ones are.",
  }),
  val_size: float({
    default: 0,
    min: 0,
    doc: "Share (below 1) or number of documents that are held out for evaluation; it shuffles the documents, as LLaMA-Factory does.",
  }),
  eval_on_each_dataset: flag({
    default: false,
    doc: "Evaluate each dataset of eval_dataset separately.",
  }),
  eval_num_beams: silent(SFT, int({ default: null, doc: "Beams when predicting." })),
  streaming: flag({
    default: false,
    doc: "Read, tokenize and pack while training, with a shuffle buffer, in bounded memory; needs max_steps.",
  }),
  buffer_size: int({ default: 16384, min: 1, doc: "Documents in the shuffle buffer of a stream." }),
  mix_strategy: choice({
    default: "concat",
    values: ["concat", "interleave_under", "interleave_over", "interleave_once"],
    doc: "Several datasets: one after another, or interleaved until the first is used up, until all are (shorter ones repeat), or every document once.",
  }),
  interleave_probs: custom<number[] | null, string | number | readonly number[]>({
    default: null,
    type: "numbers separated by commas, or a list of numbers",
    wantsText: true,
    json: { type: ["string", "number", "array"], items: { type: "number" } },
    doc: "Probability of each dataset when interleaving, summing to 1; without it the datasets take turns.",
    read(value) {
      const items = typeof value === "string" ? value.split(",") : Array.isArray(value) ? value : [value];
      return items.map((item: unknown) => {
        const number = typeof item === "string" && item.trim() !== "" ? Number(item) : item;
        if (typeof number !== "number" || !Number.isFinite(number)) {
          throw new Mismatch("numbers such as 0.7,0.3");
        }
        return number;
      });
    },
  }),
  tokenized_path: text({
    default: null,
    doc: "Folder of packed blocks: if it holds some (LLaMA-Factory's too), they are used and the other data keys are not read; otherwise they are saved there.",
  }),
  neat_packing: flag({
    default: false,
    doc: "Packed documents are masked from each other: positions start again with each, and attention and labels stop at its end. The blocks are those of packing; LLaMA-Factory takes the key in supervised fine-tuning only.",
  }),
  train_on_prompt: refused(
    "LLaMA-Factory takes it in supervised fine-tuning only; remove it (every token is trained on here)",
    flag({ default: false, doc: "Train on the prompt too." }),
  ),
  mask_history: refused(
    "LLaMA-Factory takes it in supervised fine-tuning only; remove it",
    flag({ default: false, doc: "Train on the last turn only." }),
  ),
  ignore_pad_token_for_loss: silent(
    "padding never counts in the loss of incremental pre-training",
    flag({ default: true, doc: "Leave padding out of the loss." }),
  ),
  tool_format: silent(SFT, text({ default: null, doc: "Format of tool calls." })),
  default_system: silent(SFT, text({ default: null, doc: "System message of the template." })),
  enable_thinking: silent(SFT, flag({ default: true, doc: "Thinking in reasoning models." })),
  preserve_thinking: silent(SFT, flag({ default: false, doc: "Keep thinking of earlier turns." })),
});

// Mistakes with what is trained on and when: replay.
import type { Mistake } from "./room.js";

export const SAMPLING: Mistake[] = [
  {
    name: "a replay ratio of 1",
    keys: { replay_dataset: "two", replay_ratio: 1 },
    line: /recipe\.yaml:\d+: replay_ratio: expected a number, above 0 and below 1, received 1/,
  },
  {
    name: "a replay ratio of 0",
    keys: { replay_dataset: "two", replay_ratio: 0 },
    line: /recipe\.yaml:\d+: replay_ratio: expected a number, above 0 and below 1, received 0/,
  },
  {
    name: "a replay ratio without anything to replay",
    keys: { replay_ratio: 0.1 },
    line: /recipe\.yaml:\d+: replay_ratio: there is nothing to replay; set replay_dataset/,
  },
  {
    name: "a replay dataset that is not there",
    keys: { replay_dataset: "general" },
    line: /dataset: general is not defined in data\/dataset_info\.json, which has: one, two/,
  },
  {
    name: "a replay dataset that is trained on anyway",
    keys: { replay_dataset: "one" },
    line: /recipe\.yaml:\d+: replay_dataset: one is trained on already \(dataset\); name it in one of the two/,
  },
  {
    name: "a replay dataset too small for a block",
    keys: { replay_dataset: "two" },
    make: (room) => room.write("data/two.jsonl", '{"text": "a"}\n'),
    line: /replay_dataset: the 1 document of two \(\d+ tokens\) fill no block of 48, .*lower cutoff_len/,
  },
  {
    name: "replay in a stream",
    keys: { replay_dataset: "two", streaming: true, max_steps: 2, max_samples: undefined },
    line: /recipe\.yaml:\d+: replay_dataset: a stream is read in its own order; remove streaming/,
  },
  {
    name: "replay from finished blocks",
    keys: { replay_dataset: "two", tokenized_path: "tokens" },
    line: /recipe\.yaml:\d+: replay_dataset: the blocks of a tokenized_path do not say of which dataset they are/,
  },
  {
    name: "loss by source of interleaved documents",
    keys: { dataset: "one,two", mix_strategy: "interleave_under", log_loss_by_source: true },
    line: /log_loss_by_source: each dataset is packed by itself, and mix_strategy: interleave_under mixes documents before/,
  },
];

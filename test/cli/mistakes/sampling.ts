// Mistakes with what is trained on and when: replay, mixtures, stages, freshness, scores.
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
    name: "a mixture by token with documents interleaved",
    keys: { dataset: "one,two", mix_by: "tokens", mix_strategy: "interleave_over" },
    line: /mix_by: each dataset is packed separately, but mix_strategy: interleave_over mixes documents before packing/,
  },
  {
    name: "a weight for too many datasets",
    keys: { dataset: "one,two", mix_by: "tokens", mix_weights: "1,2,3" },
    line: /recipe\.yaml:\d+: mix_weights: 3 for the 2 of dataset; give one weight for each/,
  },
  {
    name: "a weight of 0",
    keys: { dataset: "one,two", mix_by: "tokens", mix_weights: { one: 0, two: 1 } },
    line: /recipe\.yaml:\d+: mix_weights: expected a weight above 0 for each dataset/,
  },
  {
    name: "a weight for another dataset",
    keys: { dataset: "one,two", mix_by: "tokens", mix_weights: { one: 1, three: 1 } },
    line: /mix_weights: three is no dataset of this recipe, which has: one, two; add it to dataset/,
  },
  {
    name: "a dataset without a weight",
    keys: { dataset: "one,two", mix_by: "tokens", mix_weights: { one: 1 } },
    line: /mix_weights: two has no weight; give it one, or take it out of dataset/,
  },
  {
    name: "weights of a mixture by document",
    keys: { dataset: "one,two", mix_weights: { one: 1, two: 1 } },
    line: /mix_weights: it is for mixtures by token; set mix_by: tokens/,
  },
  {
    name: "weights and a temperature",
    keys: { dataset: "one,two", mix_by: "tokens", mix_weights: "1,1", mix_temperature: 2 },
    line: /mix_temperature: mix_weights gives the shares already; keep one of the two/,
  },
  {
    name: "overlapping stages",
    keys: {
      dataset: "one,two",
      curriculum: [
        { until: 0.6, mix: { one: 1 } },
        { until: 0.4, mix: { two: 1 } },
      ],
    },
    line: /recipe\.yaml:\d+: curriculum: stage 2 ends at 0\.4 of the steps, and stage 1 at 0\.6: stages overlap; let until rise/,
  },
  {
    name: "stages that end before the run",
    keys: { curriculum: [{ until: 0.6, mix: { one: 1 } }] },
    line: /curriculum: the last stage ends at 0\.6 of the steps, and nothing comes after; let it end at 1/,
  },
  {
    name: "a stage of an unknown dataset",
    keys: { curriculum: [{ until: 0.6, mix: { one: 1 } }, { mix: { prose: 1 } }] },
    line: /curriculum: prose is no dataset of this recipe, which has: one; add it to dataset/,
  },
  {
    name: "a dataset in no stage",
    keys: { dataset: "one,two", curriculum: [{ mix: { one: 1 } }] },
    line: /curriculum: two is in no stage; name it in the mix of one, or take it out of dataset/,
  },
  {
    name: "a stage beyond the end",
    keys: { curriculum: [{ until: 30, mix: { one: 1 } }] },
    line: /curriculum: expected until to be a share of the steps, above 0 and at most 1, in stage 1/,
  },
  {
    name: "a stage with a word too many",
    keys: { curriculum: [{ from: 0, mix: { one: 1 } }] },
    line: /curriculum: expected stages such as \{until: 0\.3, mix: \{prose: 1\}\}; stage 1 has from/,
  },
  {
    name: "a stage too short for a step",
    keys: { dataset: "one,two", curriculum: [{ until: 0.01, mix: { one: 1 } }, { mix: { two: 1 } }] },
    line: /curriculum: stage 1 has none of the run's \d+ steps?; train longer, or join stages/,
  },
  {
    name: "a half-life without a unit",
    keys: { time_decay_half_life: 180 },
    line: /recipe\.yaml:\d+: time_decay_half_life: expected a span such as 180d, 26w, 6m \(months\) or 2y, received 180/,
  },
  {
    name: "a half-life of nothing",
    keys: { time_decay_half_life: "0d" },
    line: /time_decay_half_life: expected a span such as 180d/,
  },
  {
    name: "a floor of 1",
    keys: { time_decay_half_life: "2y", time_decay_floor: 1 },
    line: /time_decay_floor: expected a number, at least 0 and below 1, received 1/,
  },
  {
    name: "a reference that is no date",
    keys: { time_decay_half_life: "2y", time_decay_reference: "yesterday" },
    line: /time_decay_reference: expected a date such as 2024-05-01, .*, received "yesterday"/,
  },
  {
    name: "documents drawn by age without a column of dates",
    keys: { time_decay_half_life: "2y" },
    line: /time_decay_column: one has no column of dates; name it here, or as "columns": \{"date": \.\.\.\}/,
  },
  {
    name: "a document without a date",
    keys: { time_decay_half_life: "2y", time_decay_column: "year" },
    make: (room) =>
      room.corpus('{"text": "a", "year": 2020}\n{"text": "b", "year": "song"}\n{"text": "c"}\n'),
    line: /data\/one\.jsonl:2: column "year" has no date \("song"\); give the document a date such as/,
  },
  {
    name: "a column of dates for another dataset",
    keys: { time_decay_half_life: "2y", time_decay_column: { poems: "year" } },
    line: /time_decay_column: poems is no dataset of this recipe, which has: one; add it to dataset/,
  },
  {
    name: "more documents than there are, without replacement",
    keys: {
      time_decay_half_life: "2y",
      time_decay_column: "year",
      time_decay_replacement: false,
      time_decay_samples: 3,
    },
    make: (room) => room.corpus('{"text": "a", "year": 2020}\n{"text": "b", "year": 2021}\n'),
    line: /time_decay_samples: 3 of 2 documents cannot be drawn without replacement; lower it/,
  },
  {
    name: "rows drawn twice over",
    keys: { time_decay_half_life: "2y", time_decay_column: "year" },
    make: (room) =>
      room.json("data/dataset_info.json", {
        one: { file_name: "one.jsonl", columns: { prompt: "text" }, num_samples: 3 },
      }),
    line: /time_decay_half_life: num_samples of one already draws rows at random; remove it from dataset_info\.json/,
  },
  {
    name: "a curriculum by nothing known",
    keys: { curriculum_by: "difficulty" },
    line: /recipe\.yaml:\d+: curriculum_by: expected length, loss or column NAME, received "difficulty"/,
  },
  {
    name: "a curriculum that starts with nothing",
    keys: { curriculum_by: "length", curriculum_start: 0 },
    line: /curriculum_start: expected a number, above 0 and at most 1, received 0/,
  },
  {
    name: "a curriculum by a column without numbers",
    keys: { curriculum_by: "column text" },
    line: /data\/one\.jsonl:1: column "text" has no number \(".*\); give every document one, or leave it out/,
  },
  {
    name: "a curriculum by a column that is not there",
    keys: { curriculum_by: "column grade" },
    line: /data\/one\.jsonl:1: column "grade" has no number \(nothing\); give every document one/,
  },
  {
    name: "copies of a document sorted side by side",
    keys: { curriculum_by: "length", time_decay_half_life: "2y" },
    line: /curriculum_by: sorting puts the copies side by side that time decay draws of a document; set time_decay_replacement: false/,
  },
  {
    name: "loss by source of interleaved documents",
    keys: { dataset: "one,two", mix_strategy: "interleave_under", log_loss_by_source: true },
    line: /log_loss_by_source: each dataset is packed separately, but mix_strategy: interleave_under mixes documents before packing/,
  },
];

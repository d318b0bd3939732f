// The schema's table of keys that decide what is trained on and when: replay, mixtures, freshness, curricula.
// None is LLaMA-Factory's. Where one is on, each dataset is packed separately.

import { choice, flag, float, inGroup, list } from "../key.js";
import { curriculumStages, mixWeights } from "../values/curriculum-stages.js";

export const samplingKeys = inGroup("incremental", ["train"], {
  replay_dataset: list({
    default: null,
    doc: "Datasets of what the model knows already, mixed in against forgetting, as replay_ratio says; an epoch still sees the new data once.",
  }),
  replay_ratio: float({
    default: 0.05,
    above: 0,
    below: 1,
    doc: "Share of all tokens that comes from replay_dataset, exact to within one block at every point; 0.05 to 0.10 is usual.",
  }),
  mix_by: choice({
    default: "documents",
    values: ["documents", "tokens"],
    doc: "documents: datasets are mixed as mix_strategy says, before packing. tokens: each is packed separately and gets its share of the tokens (mix_weights or mix_temperature; otherwise in proportion to its size), exact to within one block at every point; an epoch has as many blocks as all datasets together, and a dataset that is used up starts over in another order.",
  }),
  mix_weights: mixWeights,
  mix_temperature: float({
    default: null,
    above: 0,
    doc: "With mix_by: tokens, shares in proportion to size^(1/temperature): 1 keeps each dataset's natural share; higher values make the shares more equal.",
  }),
  curriculum: curriculumStages,
  log_loss_by_source: flag({
    default: null,
    defaultText: "true where a key of this table packs each dataset separately, otherwise false",
    doc: "Log the mean loss of each dataset beside the loss, as loss_NAME, and its share of the tokens so far, as share_NAME; each dataset is then packed separately, and the blocks of a micro-step come from one dataset.",
  }),
});

// The schema's table of keys that decide what is trained on and when: replay, mixtures, freshness, curricula.
// None is LLaMA-Factory's. Where one is on, each dataset is packed by itself.
import { flag, float, inGroup, list } from "./key.js";

export const samplingKeys = inGroup("incremental", ["train"], {
  replay_dataset: list({
    default: null,
    doc: "Datasets of what the model knows already, mixed in against forgetting, as replay_ratio says; an epoch still sees the new data once.",
  }),
  replay_ratio: float({
    default: 0.05,
    above: 0,
    below: 1,
    doc: "Share of all tokens that comes from replay_dataset, right to within one block after every block; 0.05 to 0.10 is usual.",
  }),
  log_loss_by_source: flag({
    default: null,
    defaultText: "true with replay_dataset, else false",
    doc: "Log the mean loss of each dataset beside the loss, as loss_NAME, and its share of the tokens so far, as share_NAME; each dataset is then packed by itself, and a micro-step's blocks are of one dataset.",
  }),
});

// The schema's table of generation keys, which only chat reads.
import { flag, float, inGroup, int, refused, silent } from "../key.js";

export const generationKeys = inGroup("generation", ["chat"], {
  do_sample: flag({ default: true, doc: "Sample each token instead of taking the most likely one." }),
  temperature: float({
    default: 0.95,
    min: 0,
    doc: "Divides the logits before sampling; 0 takes the most likely token.",
  }),
  top_p: float({
    default: 0.7,
    above: 0,
    max: 1,
    doc: "Sample from the most likely tokens that together reach this probability.",
  }),
  top_k: int({ default: 50, min: 0, doc: "Sample from this many most likely tokens; 0 sets no limit." }),
  max_new_tokens: int({ default: 1024, min: 1, doc: "Most tokens to generate." }),
  repetition_penalty: float({
    default: 1.0,
    above: 0,
    doc: "Above 1, tokens that already occurred become less likely.",
  }),
  skip_special_tokens: flag({ default: true, doc: "Leave special tokens out of the printed text." }),
  num_beams: refused(
    "there is no beam search in this version; remove it",
    int({ default: 1, min: 1, doc: "Beams of a beam search." }),
  ),
  max_length: silent(
    "max_new_tokens decides",
    int({ default: 1024, doc: "Maximum number of tokens of prompt and answer together." }),
  ),
  length_penalty: silent("only read in a beam search", float({ default: 1.0, doc: "Favours longer beams." })),
});

// The schema's table of keys for a curriculum by a score: easy data first. For stages see values/curriculum-stages.ts.
import { choice, custom, float, inGroup, Mismatch } from "../key.js";

/** What orders the data: a document's tokens, the model's loss on a block, or a column of numbers. */
export type CurriculumScore =
  | { readonly by: "length" | "loss" }
  | { readonly by: "column"; readonly column: string };

/** The meaning of curriculum_by; undefined for text that has none. */
export function curriculumScore(text: string): CurriculumScore | undefined {
  if (text === "length" || text === "loss") return { by: text };
  const column = /^column\s+(\S.*)$/.exec(text.trim())?.[1];
  return column === undefined ? undefined : { by: "column", column };
}

const FORM = "length, loss or column NAME";

export const curriculumKeys = inGroup("incremental", ["train"], {
  curriculum_by: custom<string | null>({
    default: null,
    type: FORM,
    wantsText: true,
    json: { type: "string" },
    doc: "Easy data first, within each dataset: documents by length (in tokens) or by a column of numbers are sorted before packing; by loss, blocks are sorted by the model's own loss before training (one forward pass over the data). At each step blocks are drawn from the easiest share that curriculum_pacing makes available, each available block once before any repeats; with disable_shuffling they come in order. replay_dataset is not sorted.",
    read(value) {
      if (typeof value !== "string" || curriculumScore(value) === undefined) throw new Mismatch(FORM);
      return value;
    },
  }),
  curriculum_pacing: choice({
    default: "sqrt",
    values: ["sqrt", "linear"],
    doc: "How the available share c grows with step t, min(1, (t (1 - c0^p) / T + c0^p)^(1/p)) with p 2 or 1 (Platanios et al. 2019).",
  }),
  curriculum_start: float({
    default: 0.01,
    above: 0,
    max: 1,
    doc: "c0, the share of the data that is available at the first step, at least one block.",
  }),
  curriculum_duration: float({
    default: 0.5,
    above: 0,
    max: 1,
    doc: "T as a share of the run's steps: from there on all of the data is available.",
  }),
});

// The schema's table of keys that draw documents by their age: time decay. None is LLaMA-Factory's.

import { custom, flag, float, inGroup, int, Mismatch } from "../key.js";
import { DATE_FORM, parseDate, parseSpan, SPAN_FORM } from "../values/dates.js";

/** A column for all datasets, or by the dataset's name. */
export type DateColumns = string | Readonly<Record<string, string>>;

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

export const timeDecayKeys = inGroup("incremental", ["train"], {
  time_decay_half_life: custom<string | null>({
    default: null,
    type: SPAN_FORM,
    wantsText: true,
    json: { type: "string", pattern: "^[0-9.]+ ?[dwmy]$" },
    doc: "Draw documents by their age: a document older by this span is half as likely, weight exp(-ln 2 x age / half-life); y is 365.25 days and m is a twelfth of that. Documents are drawn once, from seed, after val_size and before packing; replay_dataset is not affected. The expected counts by year are shown before training.",
    read(value) {
      if (parseSpan(value) === undefined) throw new Mismatch(SPAN_FORM);
      return value as string;
    },
  }),
  time_decay_column: custom<DateColumns | null>({
    default: null,
    defaultText: "columns.date of dataset_info.json",
    type: "text or a mapping",
    wantsText: true,
    json: { type: ["string", "object"], additionalProperties: { type: "string" } },
    doc: "Column that holds a document's date, for all datasets or {dataset: column}: ISO dates, years (1080, -300), seconds or milliseconds since 1970.",
    read(value) {
      const isMapping = typeof value === "object" && value !== null && !Array.isArray(value);
      const names = isMapping ? Object.values(value) : [value];
      if (names.length === 0 || !names.every(isName))
        throw new Mismatch("a column's name, or a mapping from datasets to names");
      return value as DateColumns;
    },
  }),
  time_decay_reference: custom<string | null, string | number>({
    default: null,
    defaultText: "the newest document's date",
    type: "a date",
    wantsText: true,
    json: { type: ["string", "number"] },
    doc: "The date from which ages are counted; later documents count as dated on it.",
    read(value) {
      if (parseDate(value) === undefined) throw new Mismatch(DATE_FORM);
      return String(value);
    },
  }),
  time_decay_floor: float({
    default: 0,
    min: 0,
    below: 1,
    doc: "Minimum weight of a document, however old it is; a new document's is 1.",
  }),
  time_decay_replacement: flag({
    default: true,
    doc: "Draw with replacement, so that new documents occur several times; false draws each at most once.",
  }),
  time_decay_samples: int({
    default: null,
    min: 1,
    defaultText: "as many as there are with replacement, else the sum of the weights",
    doc: "Number of documents that are drawn.",
  }),
});

// The recipe's curriculum and mix_weights: which datasets are mixed, by which weights, in which part of the run. It
// checks their form; whether the datasets exist is checked in rules/.
import { custom, Mismatch } from "../key.js";

/** Weights by dataset. */
export type MixWeights = Readonly<Record<string, number>>;

/** A part of the run. */
export interface CurriculumStage {
  /** The share of the run's steps at which it ends, in (0, 1]. */
  readonly until: number;
  readonly mix: MixWeights;
}

const STAGE = "{until: 0.3, mix: {prose: 1}}";

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function weights(value: unknown, where: string): MixWeights {
  const entries = isMapping(value) ? Object.entries(value) : [];
  const wrong = entries.find(
    ([, weight]) => typeof weight !== "number" || !(weight > 0 && weight < Infinity),
  );
  if (entries.length === 0 || wrong !== undefined)
    throw new Mismatch(`a weight above 0 for each dataset such as {prose: 3, poetry: 1}${where}`);
  return value as MixWeights;
}

function stage(value: unknown, index: number, last: boolean): CurriculumStage {
  const where = `stage ${index + 1}`;
  if (!isMapping(value)) throw new Mismatch(`stages such as ${STAGE}, for ${where}`);
  const stray = Object.keys(value).find((key) => key !== "until" && key !== "mix");
  if (stray !== undefined) throw new Mismatch(`stages such as ${STAGE}; ${where} has ${stray}`);
  const until = value["until"] ?? (last ? 1 : undefined);
  if (typeof until !== "number" || !(until > 0 && until <= 1))
    throw new Mismatch(`until to be a share of the steps, above 0 and at most 1, in ${where}`);
  return { until, mix: weights(value["mix"], ` as mix of ${where}`) };
}

export const mixWeights = custom<MixWeights | number[] | null, MixWeights | string | readonly number[]>({
  default: null,
  type: "a mapping from datasets to numbers, or numbers separated by commas",
  wantsText: true,
  json: { type: ["object", "string", "array"], additionalProperties: { type: "number" } },
  doc: "With mix_by: tokens, each dataset's share of the tokens as a weight: {prose: 3, poetry: 1}, or 3,1 in the order of dataset.",
  read(value) {
    if (isMapping(value)) return weights(value, "");
    const items = typeof value === "string" ? value.split(",").map(Number) : value;
    if (
      !Array.isArray(items) ||
      !items.every((item) => typeof item === "number" && item > 0 && item < Infinity)
    )
      throw new Mismatch("a weight above 0 for each dataset such as {prose: 3, poetry: 1} or 3,1");
    return items as number[];
  },
});

export const curriculumStages = custom<CurriculumStage[] | null, unknown>({
  default: null,
  type: "a list of stages",
  wantsText: true,
  json: {
    type: "array",
    items: {
      type: "object",
      additionalProperties: false,
      properties: {
        until: { type: "number", exclusiveMinimum: 0, maximum: 1 },
        mix: { type: "object", additionalProperties: { type: "number" } },
      },
      required: ["mix"],
    },
  },
  doc: "Stages of the run, each with its own mixture by token: [{until: 0.3, mix: {prose: 1}}, {until: 1, mix: {prose: 1, poetry: 1}}]; until is the share of the steps at which a stage ends.",
  read(value) {
    if (!Array.isArray(value) || value.length === 0)
      throw new Mismatch(`a list of stages such as [${STAGE}]`);
    return value.map((item, index) => stage(item, index, index === value.length - 1));
  },
});

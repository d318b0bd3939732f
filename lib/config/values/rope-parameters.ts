// The recipe's rope_parameters: transformers' own table of rotary settings, checked name by name.
// It only checks the form; what each type needs beside factor is checked where the model is built.
import { custom, Mismatch } from "../key.js";

/** Rotary settings with transformers' names; a value given here replaces the one in config.json. */
export interface RopeParameters {
  rope_type?: "default" | "linear" | "dynamic" | "yarn" | "llama3";
  rope_theta?: number;
  factor?: number;
  original_max_position_embeddings?: number;
  attention_factor?: number;
  beta_fast?: number;
  beta_slow?: number;
  mscale?: number;
  mscale_all_dim?: number;
  truncate?: boolean;
  low_freq_factor?: number;
  high_freq_factor?: number;
}

const TYPES = ["default", "linear", "dynamic", "yarn", "llama3"];
const NUMBERS = [
  "rope_theta",
  "factor",
  "original_max_position_embeddings",
  "attention_factor",
  "beta_fast",
  "beta_slow",
  "mscale",
  "mscale_all_dim",
  "low_freq_factor",
  "high_freq_factor",
];

function readRopeParameters(value: unknown): RopeParameters {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Mismatch("a mapping such as {rope_type: yarn, factor: 4.0}");
  }
  for (const [name, inner] of Object.entries(value)) {
    if (name === "rope_type") {
      if (!TYPES.includes(inner)) throw new Mismatch(`rope_type to be one of ${TYPES.join(", ")}`);
    } else if (name === "truncate") {
      if (typeof inner !== "boolean") throw new Mismatch("truncate to be true or false");
    } else if (NUMBERS.includes(name)) {
      if (typeof inner !== "number" || !(inner > 0) || !Number.isFinite(inner)) {
        throw new Mismatch(`${name} to be a number above 0`);
      }
    } else {
      throw new Mismatch(`only the names ${["rope_type", "truncate", ...NUMBERS].join(", ")}`);
    }
  }
  return { ...value };
}

export const ropeParameters = custom<RopeParameters | null>({
  default: null,
  type: "a mapping",
  json: {
    type: "object",
    properties: {
      rope_type: { enum: TYPES },
      truncate: { type: "boolean" },
      ...Object.fromEntries(NUMBERS.map((name) => [name, { type: "number", exclusiveMinimum: 0 }])),
    },
    additionalProperties: false,
  },
  doc: "Rotary settings with transformers' names (rope_type, factor, rope_theta, ...), instead of config.json's.",
  read: readRopeParameters,
});

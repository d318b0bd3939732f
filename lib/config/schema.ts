// The one schema of every YAML key. The types Recipe and RecipeInput follow from it; nothing is written twice.
import type { InputOf, Key, ValueOf } from "./key.js";
import { curriculumKeys } from "./keys/curriculum.js";
import { dataKeys } from "./keys/data.js";
import { evaluationKeys } from "./keys/evaluation.js";
import { forgettingKeys } from "./keys/forgetting.js";
import { generationKeys } from "./keys/generation.js";
import { incrementalKeys } from "./keys/incremental.js";
import { inertKeys } from "./keys/inert.js";
import { layerSelectionKeys } from "./keys/layer-selection.js";
import { methodKeys } from "./keys/method.js";
import { modelKeys } from "./keys/model.js";
import { outputKeys } from "./keys/output.js";
import { processKeys } from "./keys/processes.js";
import { samplingKeys } from "./keys/sampling.js";
import { timeDecayKeys } from "./keys/time-decay.js";
import { trainingKeys } from "./keys/training.js";

const TABLE = {
  ...modelKeys,
  ...dataKeys,
  ...methodKeys,
  ...trainingKeys,
  ...evaluationKeys,
  ...processKeys,
  ...inertKeys,
  ...outputKeys,
  ...incrementalKeys,
  ...timeDecayKeys,
  ...curriculumKeys,
  ...samplingKeys,
  ...forgettingKeys,
  ...layerSelectionKeys,
  ...generationKeys,
};

/** The name of a key that the schema knows. */
export type KeyName = keyof typeof TABLE;

type Values = { -readonly [K in KeyName]: ValueOf<(typeof TABLE)[K]> };
type Inputs = { readonly [K in KeyName]?: InputOf<(typeof TABLE)[K]> | null };

/** A resolved recipe: every key of the schema, typed, with defaults filled in. */
export interface Recipe extends Values {}

/** What the programmatic door takes: any of the keys, with the values that YAML would give them. */
export interface RecipeInput extends Inputs {}

/** Every key by its name, in the order of the documentation. */
export const SCHEMA: ReadonlyMap<string, Key<unknown, unknown>> = new Map(
  Object.entries(TABLE as unknown as Record<string, Key<unknown, unknown>>),
);

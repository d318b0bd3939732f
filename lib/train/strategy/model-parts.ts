// A model's parameters by the part that computes with them: what several processes gather, and send, together.
import type { CausalModel } from "../../models/causal-model.js";
import type { Tensor } from "../../torch/index.js";

/** A parameter and its name. */
export type Named = readonly [string, Tensor];

/** A model's parameters, each in one part. */
export interface ModelParts {
  /** A table that the head computes with too is here. */
  readonly embedding: readonly Named[];
  /** Of each block, in order. */
  readonly blocks: readonly (readonly Named[])[];
  /** What is left: the final norm, a separate head. */
  readonly head: readonly Named[];
}

const EMBEDDING = /(^|\.)embed_tokens\./;

/** All parameters of a model by part, in its order. */
export function byPart(model: CausalModel): ModelParts {
  const rest = new Map<string, Tensor>(model.namedParameters());
  const names = new Map([...rest].map(([name, parameter]) => [parameter, name]));
  const take = (parameters: Iterable<Tensor>): Named[] =>
    [...parameters].flatMap((parameter) => {
      const name = names.get(parameter) as string;
      return rest.delete(name) ? [[name, parameter] as const] : [];
    });
  const blocks = model.layers.map((block) => take(block.parameters()));
  const embedding = take(
    [...rest].filter(([name]) => EMBEDDING.test(name)).map(([, parameter]) => parameter),
  );
  return { embedding, blocks, head: [...rest] };
}

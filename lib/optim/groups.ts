// Which parameters decay and which have their own rate: transformers' and LLaMA-Factory's rules, by name.

import type { Tensor } from "../torch/index.js";

/** What a part of a parameter, [length], is a part of. */
export interface Whole {
  /** The parameter's. */
  readonly shape: readonly number[];
  /** The part's first element, in C order. */
  readonly from: number;
}

/** Parameters with one weight decay and one learning rate. */
export interface ParameterGroup {
  /** Names by place, as in {@link ParameterGroup.parameters}; the optimizer's state is kept by them. */
  names: string[];
  /** The parameters themselves. */
  parameters: Tensor[];
  /** AdamW's decoupled decay: a step first multiplies weights by 1 - rate * decay. */
  weightDecay: number;
  /** Its own rate; left out, the optimizer's. */
  learningRate?: number;
  /** By place, where these are parts of parameters; left out: they are whole. */
  wholes?: readonly Whole[] | undefined;
}

const EXEMPT = [/bias/, /layernorm/, /rmsnorm/, /(?:^|\.)norm(?:$|\.)/, /_norm(?:$|\.)/];

/** Norms and biases do not decay; everything else does, LoRA and embeddings included. */
export function decays(name: string): boolean {
  return !EXEMPT.some((pattern) => pattern.test(name.toLowerCase()));
}

/** The trainable parameters in two groups, those that decay first; a group without members is left out. */
export function decayGroups(named: Iterable<[string, Tensor]>, weightDecay: number): ParameterGroup[] {
  const groups: ParameterGroup[] = [
    { names: [], parameters: [], weightDecay },
    { names: [], parameters: [], weightDecay: 0 },
  ];
  for (const [name, parameter] of named) {
    if (!parameter.requiresGrad) continue;
    const group = groups[decays(name) ? 0 : 1] as ParameterGroup;
    group.names.push(name);
    group.parameters.push(parameter);
  }
  return groups.filter((group) => group.parameters.length > 0);
}

/** Rows of tokens: an embedding's or a head's own weights, not an adapter's matrices on them. */
const TOKEN_ROWS = /(?:^|\.)(?:embed_tokens|lm_head)\.(?!.*lora_)/;

/**
 * The groups with the embedding's and the head's parameters in separate groups, which come last and learn at
 * `learningRate`. Decay stays.
 */
export function embeddingGroups(groups: readonly ParameterGroup[], learningRate: number): ParameterGroup[] {
  const rest: ParameterGroup[] = [];
  const tables: ParameterGroup[] = [];
  for (const group of groups) {
    const part = (wanted: boolean): ParameterGroup => {
      const places = group.names.flatMap((name, i) => (TOKEN_ROWS.test(name) === wanted ? [i] : []));
      const names = places.map((i) => group.names[i] as string);
      return { ...group, names, parameters: places.map((i) => group.parameters[i] as Tensor) };
    };
    rest.push(part(false));
    tables.push({ ...part(true), learningRate });
  }
  return [...rest, ...tables].filter(({ parameters }) => parameters.length > 0);
}

/** Settings of {@link loraPlusGroups}. */
export interface LoraPlusOptions {
  /** Of everything but norms and biases. */
  weightDecay: number;
  /** Rate of A and of whatever is no B and no vector. */
  learningRate: number;
  /** Rate of B over that of A. */
  ratio: number;
  /** Rate of adapters on an embedding. */
  embeddingRate: number;
}

/**
 * LoRA+ (Hayou et al. 2024, arXiv:2402.12354): B, and any vector, learns `ratio` times as fast as the rest. The first
 * group is the one with the plain rate; everything but norms and biases decays.
 */
export function loraPlusGroups(
  named: Iterable<[string, Tensor]>,
  { weightDecay, learningRate, ratio, embeddingRate }: LoraPlusOptions,
): ParameterGroup[] {
  const fast = learningRate * ratio;
  const group = (rate: number, decay: number): ParameterGroup => ({
    names: [],
    parameters: [],
    weightDecay: decay,
    learningRate: rate,
  });
  const slow = group(learningRate, weightDecay);
  const [decaying, exempt] = [group(fast, weightDecay), group(fast, 0)];
  const embedding = group(embeddingRate, weightDecay);
  for (const [name, parameter] of named) {
    if (!parameter.requiresGrad) continue;
    let into = slow;
    if (name.includes("lora_embedding_B")) into = embedding;
    else if (name.includes("lora_B") || parameter.ndim === 1) into = decays(name) ? decaying : exempt;
    into.names.push(name);
    into.parameters.push(parameter);
  }
  return [slow, decaying, exempt, embedding].filter(({ parameters }) => parameters.length > 0);
}

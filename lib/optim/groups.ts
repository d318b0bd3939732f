// Which parameters decay: transformers' rule, by name.

import type { Tensor } from "../torch/index.js";

export interface ParameterGroup {
  names: string[];
  parameters: Tensor[];
  weightDecay: number;
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

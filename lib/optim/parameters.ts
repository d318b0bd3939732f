// What an optimizer is made over, in PyTorch's forms (a flat list, named parameters, groups), as parameter groups; and
// the mistakes that would silently train nothing.

import { ArgumentError, Tensor } from "../torch/index.js";
import type { ParameterGroup } from "./groups.js";

/** A group whose settings may be left out. */
export interface GroupInput {
  /** The parameters themselves. */
  readonly parameters: Iterable<Tensor>;
  /** Names by place; left out: numbers, counted over all groups. */
  readonly names?: readonly string[];
  /** Left out: the optimizer's. */
  readonly weightDecay?: number;
  /** Left out: the optimizer's. */
  readonly learningRate?: number;
}

/**
 * `model.parameters()`, `model.namedParameters()`, or groups such as those of `decayGroups`. The optimizer's state is kept
 * by name: a saved state needs the same names again.
 */
export type TrainedParameters = Iterable<Tensor | readonly [name: string, parameter: Tensor] | GroupInput>;

/** The settings that {@link parameterGroups} takes for those that groups leave out. */
export interface GroupDefaults {
  /** The optimizer's rate; it may be missing where every group has its own. */
  readonly learningRate: number | undefined;
  /** Of groups without their own. */
  readonly weightDecay: number;
}

/**
 * Parameters in groups; a whole group stays the object that it is, so that its rate may be set later.
 * @param optimizer the class's name, for messages
 * @throws ArgumentError for what is no parameter, nothing to train, a parameter or a name that comes twice, and a rate or
 *   decay that is no number
 */
export function parameterGroups(
  given: TrainedParameters,
  { learningRate, weightDecay }: GroupDefaults,
  optimizer: string,
): ParameterGroup[] {
  const fail = (problem: string): never => {
    throw new ArgumentError(`${optimizer}: ${problem}`, "ERR_ARGUMENT");
  };
  if (typeof (given as Partial<TrainedParameters> | undefined)?.[Symbol.iterator] !== "function")
    fail("the parameters are missing; give model.parameters(), model.namedParameters() or groups");
  const groups: ParameterGroup[] = [];
  const flat: ParameterGroup = { names: [], parameters: [], weightDecay };
  let count = 0;
  for (const one of given) {
    const [name, parameter] = Array.isArray(one) ? one : [String(count), one];
    if (parameter instanceof Tensor) {
      flat.names.push(String(name));
      flat.parameters.push(parameter);
      count++;
    } else if (isGroup(one)) {
      groups.push(wholeGroup(one, weightDecay, count, fail));
      count += groups.at(-1)!.parameters.length;
    } else fail(`${described(one)} is not a parameter; give tensors, [name, tensor] pairs or groups`);
  }
  if (flat.parameters.length > 0) groups.unshift(flat);
  checkMembers(groups, fail);
  for (const group of groups) {
    const rate = group.learningRate ?? learningRate;
    if (!isAmount(rate))
      fail(`learningRate is ${rate}; give a number that is not negative, such as { learningRate: 1e-4 }`);
    if (!isAmount(group.weightDecay))
      fail(`weightDecay is ${group.weightDecay}; give a number that is not negative, such as 0.01`);
  }
  return groups;
}

const isAmount = (value: unknown): boolean =>
  typeof value === "number" && Number.isFinite(value) && value >= 0;

const isGroup = (one: unknown): one is GroupInput =>
  typeof one === "object" && one !== null && "parameters" in one && typeof one.parameters !== "function";

const described = (one: unknown): string => (typeof one === "object" ? "an object" : String(one));

function wholeGroup(
  group: GroupInput,
  weightDecay: number,
  from: number,
  fail: (problem: string) => never,
): ParameterGroup {
  const isWhole = Array.isArray(group.parameters) && group.names !== undefined;
  const parameters = isWhole ? (group.parameters as Tensor[]) : [...group.parameters];
  const names = (group.names ?? parameters.map((_, index) => String(from + index))) as string[];
  if (names.length !== parameters.length)
    fail(`a group has ${names.length} names for ${parameters.length} parameters; give each its name`);
  if (!parameters.every((one) => one instanceof Tensor))
    fail("a group's parameters are not all tensors; give for instance { parameters: model.parameters() }");
  if (isWhole && group.weightDecay !== undefined) return group as ParameterGroup;
  return { ...group, parameters, names, weightDecay: group.weightDecay ?? weightDecay };
}

/** Something trains, here or in another process, and nothing twice. */
function checkMembers(groups: readonly ParameterGroup[], fail: (problem: string) => never): void {
  const names = new Set<string>();
  const seen = new Set<Tensor>();
  for (const group of groups) {
    for (const [index, parameter] of group.parameters.entries()) {
      const name = group.names[index] as string;
      if (seen.has(parameter)) fail(`the parameter "${name}" comes twice; leave it in one group`);
      if (names.has(name)) fail(`two parameters are called "${name}"; the state is kept by name: rename one`);
      seen.add(parameter);
      names.add(name);
      if (!parameter.isLeaf)
        fail(`"${name}" is computed from others; give the tensors that it is computed from, or detach() it`);
    }
  }
  const isDivided = groups.some(({ wholes }) => wholes !== undefined);
  if (!isDivided && ![...seen].some((parameter) => parameter.requiresGrad))
    fail(
      seen.size === 0
        ? "there is no parameter to train; adapt a loaded model first: addLora(model, { rank: 8 }) or trainAll(model)"
        : "none of the parameters requires a gradient; call requiresGrad_() on them, addLora(model, { rank: 8 }) or trainAll(model)",
    );
}

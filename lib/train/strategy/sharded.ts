// Sharded data parallelism: every process has its share of the batches, and of weights, gradients and the optimizer's state
// an N-th. What differs from data-parallel.ts; how the weights come and go is sharded-model.ts.
import type { Sharding } from "../../config/index.js";
import type { World } from "../../distributed/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { gradNorm, type ParameterGroup } from "../../optim/index.js";
import { setPassage } from "../../step/passage.js";
import { type Device, noGrad, op, scope, type Tensor, zeros } from "../../torch/index.js";
import type { ContextGroup } from "./context-group.js";
import { dataParallel } from "./data-parallel.js";
import { ShardedModel } from "./sharded-model.js";
import type { Extent, Strategy } from "./strategy.js";

const foreachMul = op<(self: Tensor[], other: Tensor) => void>("aten::_foreach_mul_.Tensor");

/**
 * The strategy of a world of several processes that keep a part of the model each.
 * @param context the processes that share rows with this one
 */
export function sharded(world: World, sharding: Sharding, context?: ContextGroup): Strategy {
  const plain = dataParallel(world, context);
  let divided: ShardedModel | undefined;
  let extents: ReadonlyMap<string, Extent> | undefined;
  const model = (): ShardedModel => divided as ShardedModel;
  return {
    rank: world.rank,
    size: world.size,
    attempt: world.attempt,
    batchRanks: plain.batchRanks,
    batchRank: plain.batchRank,
    isDivided: true,
    isTogether: true,
    share: plain.share,
    part: plain.part,
    sum: plain.sum,
    add: plain.add,
    gather: plain.gather,
    inTurn: plain.inTurn,
    agree: plain.agree,
    askToStop: plain.askToStop,
    get stopAsked() {
      return plain.stopAsked;
    },
    divide(whole, groups, dtype) {
      divided = new ShardedModel(whole, world, sharding, dtype);
      setPassage(whole, divided);
      extents = new Map(
        divided.parts.map(({ name, part, from, shape }) => [name, { from, length: part.numel(), shape }]),
      );
      return divideGroups(whole, groups, divided);
    },
    get extents() {
      return extents;
    },
    get units() {
      return divided?.units;
    },
    get division() {
      return divided?.division;
    },
    whenComplete: () => undefined, // its passage is told anyway
    reduceGradients: async () => model().settle(), // the last of them: they are reduced as they are made
    broadcast: async () => {}, // what each has was cut from rank 0's
    whole: async (work, read) => (divided === undefined ? work() : divided.whole(work, read)),
    renew: (_, work, how) => model().renew(work, how),
    clip: (parameters, most) => clip(world, model().device, parameters, most),
  };
}

/** The groups with this process's parts in place of the parameters; a group of which it has nothing stays, empty. */
function divideGroups(
  model: CausalModel,
  groups: readonly ParameterGroup[],
  { parts }: ShardedModel,
): ParameterGroup[] {
  const names = new Map([...model.namedParameters()].map(([name, parameter]) => [parameter, name]));
  const own = new Map(parts.map((part) => [part.name, part]));
  return groups.map((group) => {
    const places = group.parameters.flatMap((parameter, place) => {
      const found = own.get(names.get(parameter) as string);
      if (found === undefined) return [];
      const { part, shape, from } = found;
      return [{ name: group.names[place] as string, part, whole: { shape, from } }];
    });
    return {
      ...group,
      names: places.map(({ name }) => name),
      parameters: places.map(({ part }) => part),
      wholes: places.map(({ whole }) => whole),
    };
  });
}

/**
 * clipGradNorm over the parts of all processes: the same norm and the same factor on each.
 * @param device where the model is, also for a process that has nothing of what is trained
 */
function clip(world: World, device: Device, parameters: readonly Tensor[], most: number): Tensor {
  return scope(() =>
    noGrad(() => {
      const own = gradNorm(parameters);
      const square = zeros([1], { dtype: "float64", device });
      if (own !== undefined) square.add_(own.double().square());
      world.begin("allReduce", square).wait();
      const exact = square.sqrt().sum();
      const norm = own?.dtype === "float64" ? exact : exact.float();
      const gradients = parameters.flatMap(({ grad }) => grad ?? []);
      if (most > 0 && gradients.length > 0) {
        const factor = norm.add(1e-6).reciprocal().mul(most).clamp(undefined, 1);
        foreachMul(gradients, factor);
      }
      return norm;
    }),
  );
}

// Several processes: who they are, how they find each other, collectives on tensors. No recipe, no batches, no optimizer.
export { cardLibrary, countCards } from "./cards.js";
export { DataParallel, type Parametrized } from "./data-parallel.js";
export { type RankPlace, rankPlace } from "./environment.js";
export { DistributedError, PeerError } from "./errors.js";
export { FlatShard, type OwnPart } from "./flat-shard.js";
export { GradientBuckets } from "./gradient-buckets.js";
export { type LaunchPlan, launch, launchPlan } from "./launch.js";
export { type InitOptions, init, type Pending, type Reduction, World } from "./world.js";

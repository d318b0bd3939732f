// `qwen-pt/distributed`: several processes that compute together, for loops that a program writes itself.

export {
  DataParallel,
  DistributedError,
  type InitOptions,
  init,
  type Parametrized,
  PeerError,
  type RankPlace,
  type Reduction,
  rankPlace,
  type World,
} from "../distributed/index.js";

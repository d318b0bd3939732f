// What a step of N processes costs, from sizes alone: bytes by what is divided, and seconds on a cluster of GPUs by its
// rates. docs/scaling.md says what it rests on and how it compares with what was measured. No run, no tensor.

/** Qwen3's sizes: hidden, intermediate, blocks, heads of queries; 8 heads of keys, 128 wide, 151,936 entries. */
export const SIZES = {
  "0.6B": { hidden: 1024, intermediate: 3072, blocks: 28, heads: 16, tied: true },
  "1.7B": { hidden: 2048, intermediate: 6144, blocks: 28, heads: 16, tied: true },
  "4B": { hidden: 2560, intermediate: 9728, blocks: 36, heads: 32, tied: true },
  "8B": { hidden: 4096, intermediate: 12288, blocks: 36, heads: 32, tied: false },
  "14B": { hidden: 5120, intermediate: 17408, blocks: 40, heads: 40, tied: false },
  "32B": { hidden: 5120, intermediate: 25600, blocks: 64, heads: 64, tied: false },
};
const VOCABULARY = 151936;
const [KEY_WIDTH, HEAD_DIM] = [8 * 128, 128];

/** A cluster of machines with 8 H100 each, as its data sheets have it, and what is commonly reached of that. */
export const CLUSTER = {
  perNode: 8,
  flops: 989e12, // bf16
  reachedFlops: 0.45,
  inside: 450e9, // bytes a second into a GPU, from its machine's others (NVLink 4)
  between: 50e9, // its share of what comes into the machine (400 Gb/s a GPU)
  reachedBytes: 0.8,
  insideLatency: 5e-6,
  betweenLatency: 15e-6, // a hop
  memory: 80e9,
};

/** Parameters of a block, and of all. */
export function parametersOf({ hidden, intermediate, blocks, heads, tied }) {
  const width = heads * HEAD_DIM;
  const block =
    2 * hidden * width + 2 * hidden * KEY_WIDTH + 3 * hidden * intermediate + 2 * hidden + 2 * HEAD_DIM;
  return { block, all: blocks * block + (tied ? 1 : 2) * VOCABULARY * hidden + hidden };
}

/** Operations of a step's forward and backward pass for one token, in a row of `row`; nothing is computed again. */
export function operationsOf(size, row) {
  const { hidden, blocks, heads } = size;
  const { block } = parametersOf(size);
  const attention = 2 * 2 * (row / 2) * heads * HEAD_DIM; // forward, half of the square
  return 3 * (2 * (blocks * block + VOCABULARY * hidden) + blocks * attention);
}

/** Bytes that one of `ranks` processes sends in a step with one micro-step: gradients, or weights twice and those. */
export function sentOf(parameters, bytes, ranks, way) {
  const part = (bytes * parameters * (ranks - 1)) / ranks;
  return { none: 2 * part, shard_grad_op: 2 * part, full_shard: 3 * part }[way];
}

/** Seconds in which a buffer of `bytes` reaches every one of `ranks`, of whom each had a part. */
export function gatherSeconds(bytes, ranks, cluster = CLUSTER) {
  const { perNode, inside, between, reachedBytes, insideLatency, betweenLatency } = cluster;
  const nodes = Math.ceil(ranks / perNode);
  const near = Math.min(ranks, perNode);
  // each machine takes in what it lacks over all its cards, and then spreads it; both at once, the slower counts
  const spread = (bytes * (near - 1)) / near / (inside * reachedBytes);
  const taken = nodes === 1 ? 0 : (bytes * (nodes - 1)) / nodes / (perNode * between * reachedBytes);
  const hops = (near - 1) * insideLatency + Math.ceil(Math.log2(nodes)) * betweenLatency;
  return Math.max(spread, taken) + hops;
}

/** A step of full fine-tuning with full_shard: float32 weights and moments, products in bf16. */
export function predict(size, ranks, { tokens, row }, cluster = CLUSTER) {
  const { block, all } = parametersOf(size);
  const computing = (tokens * operationsOf(size, row)) / (cluster.flops * cluster.reachedFlops);
  const units = [...Array(size.blocks).fill(block), all - size.blocks * block];
  const gathering = units.reduce((sum, unit) => sum + gatherSeconds(4 * unit, ranks, cluster), 0);
  const sent = 3 * gathering; // weights on both ways, gradients
  // one unit is gathered while another computes: what does not fit beside, and the first, remain
  const share = units.map((unit) => unit / all);
  const hidden = share.reduce(
    (sum, part, at) => {
      const passes = 3 * gatherSeconds(4 * units[at], ranks, cluster);
      return sum + Math.max(0, passes - part * computing);
    },
    gatherSeconds(4 * block, ranks, cluster),
  );
  const biggest = Math.max(...units);
  // selective checkpointing: a block's input, and the results of o, gate, up and attention
  const kept = 4 * size.hidden + 2 * (size.hidden + 2 * size.intermediate + size.heads * HEAD_DIM);
  // two units gathered, and one's gradients: made, sent and received
  const bytes = (16 * all) / ranks + 5 * 4 * biggest + tokens * size.blocks * kept;
  return {
    computing,
    sent,
    asItIs: computing / (computing + sent),
    prefetched: computing / (computing + hidden),
    bytes,
  };
}

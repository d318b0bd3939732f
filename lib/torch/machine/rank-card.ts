// Which of a machine's cards a process of several computes on: the one of its number, and it sees no other, so that a card
// is cuda:0 to whoever computes on it, one process or many. CUDA reads this from the environment once, as it starts:
// native.ts puts it there before. Pure.

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The cards that CUDA_VISIBLE_DEVICES names, by number or by UUID; undefined where it is not set. CUDA reads the list up to
 * the first word that is neither, -1 among them.
 */
export function visibleCards(env: Environment): readonly string[] | undefined {
  const text = env["CUDA_VISIBLE_DEVICES"];
  if (text === undefined) return undefined;
  const words = text.split(",").map((word) => word.trim());
  const end = words.findIndex((word) => !/^(\d+|(GPU|MIG)-\S+)$/.test(word));
  return end < 0 ? words : words.slice(0, end);
}

/** This process's number on its machine, of several that torchrun's variables or Slurm's name; undefined for one that is alone. */
function localRank(env: Environment): string | undefined {
  const { WORLD_SIZE, LOCAL_RANK, RANK, SLURM_STEP_ID, SLURM_NTASKS, SLURM_LOCALID } = env;
  const bySlurm = WORLD_SIZE === undefined && SLURM_STEP_ID !== undefined;
  const [size, rank] = bySlurm ? [SLURM_NTASKS, SLURM_LOCALID] : [WORLD_SIZE, LOCAL_RANK ?? RANK];
  return Number(size) > 1 && /^\d+$/.test(rank ?? "") ? rank : undefined;
}

/**
 * What CUDA_VISIBLE_DEVICES is to be in a process of several; undefined where it stays: whoever shows each process one card,
 * as Slurm does, has chosen.
 */
export function cardOfRank(env: Environment): string | undefined {
  const rank = localRank(env);
  if (rank === undefined) return undefined;
  const visible = visibleCards(env);
  if (visible === undefined) return rank;
  return visible.length > 1 ? visible[Number(rank)] : undefined;
}

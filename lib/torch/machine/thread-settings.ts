// How many threads compute and how they wait for each other, where the user has not said. OpenMP's runtime reads this
// from the environment once, as it is loaded: native.ts puts it there before libtorch. Pure.

/**
 * How often a thread looks for work before it sleeps. OpenMP's own 300,000 hold a core for milliseconds: on a machine
 * that others use too the threads that wait keep the one that works from its core. 3,000 are some tens of microseconds,
 * longer than what lies between two operators: measured by bench/processor/threads.mjs.
 */
const SPINS = 3000;

/** Variables that C must see even where a worker's own copy of the environment was changed. */
const PASSED = [
  "OMP_NUM_THREADS",
  "OMP_WAIT_POLICY",
  "GOMP_SPINCOUNT",
  "ATEN_CPU_CAPABILITY",
  "QWEN_PT_PRODUCTS",
] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether OMP_NUM_THREADS says a number that OpenMP takes: 4, or 4,2 for teams within teams. */
export function saysThreads(env: Environment): boolean {
  return /^\s*0*[1-9]\d*\s*(,\s*0*[1-9]\d*\s*)*$/.test(env["OMP_NUM_THREADS"] ?? "");
}

/**
 * Threads for a share of the machine, rounded up: of one and a half processors two threads use all, one would not.
 * undefined where the share is no less than the processors, whose number OpenMP finds by itself.
 */
export function threadsFor(quota: number | undefined, processors: number): number | undefined {
  return quota === undefined || quota >= processors ? undefined : Math.max(1, Math.ceil(quota));
}

/** The variables to set before libtorch is loaded. `processors`: those that this process may run on. */
export function threadSettings(
  env: Environment,
  quota: number | undefined,
  processors: number,
): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const name of PASSED) if (env[name] !== undefined) settings[name] = env[name];
  if (!env["OMP_WAIT_POLICY"] && !env["GOMP_SPINCOUNT"]) settings["GOMP_SPINCOUNT"] = String(SPINS);
  const threads = threadsFor(quota, processors);
  if (threads !== undefined && !saysThreads(env)) settings["OMP_NUM_THREADS"] = String(threads);
  return settings;
}

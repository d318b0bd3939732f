// How many processes share the rows of a batch, by accelerate's parallelism_config. Its keys are held against what there is
// in rules/context.ts.

/** The keys that say it. */
export interface ContextKeys {
  readonly parallelism_config: string | Readonly<Record<string, unknown>> | null;
}

/** Processes among which each row of a resolved recipe is divided; 1 where no process shares its rows. */
export function contextParts({ parallelism_config }: ContextKeys): number {
  const { cp_size = 1 } = Object(parallelism_config ?? {}) as { cp_size?: number };
  return cp_size;
}

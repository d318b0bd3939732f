// What the kept runs say: settings in their order, figures by seed, what was gained and what was lost.
import { EXPERIMENTS } from "./settings.mjs";

export const settingsOf = (experiment) => Object.entries(EXPERIMENTS[experiment].settings);
/** By seed: a figure of a domain after training. */
export const bits = (runs, domain, when = "after") =>
  Object.values(runs ?? {}).flatMap(({ domains }) => domains[domain]?.[when].bitsPerCharacter ?? []);

/** Gain and loss by seed: bits per character of essays gained, and of poems lost. */
export function points(runs, gained = "prose_heldout", lost = "poems_heldout") {
  return Object.fromEntries(
    Object.entries(runs ?? {}).map(([seed, { domains }]) => [
      seed,
      {
        gain: domains[gained].before.bitsPerCharacter - domains[gained].after.bitsPerCharacter,
        loss: domains[lost].after.bitsPerCharacter - domains[lost].before.bitsPerCharacter,
      },
    ]),
  );
}

/** The experiments against forgetting. */
export const AGAINST = ["replay", "elastic", "distillation", "together"].filter(
  (name) => name in EXPERIMENTS,
);

/** Held-out poems by their year. */
export const DATED = ["held_0750", "held_0940", "held_1120", "held_1310", "held_1680"];

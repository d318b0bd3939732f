// What is known of each domain before and after training: types alone, which the events carry.

import type { Score } from "./score.js";

/** Figures by the domain's name. */
export type DomainScores = Readonly<Record<string, Score>>;
/** Before and after training, by the domain's name: the content of {@link DOMAIN_FILE}. */
export type DomainReport = Readonly<Record<string, { readonly before?: Score; readonly after?: Score }>>;

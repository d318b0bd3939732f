// Types of compare.mjs, for the test.
import type { Case } from "./generate.mjs";
export function readCase(one: Case): Promise<object>;
export function outcomeOf(kind: Case["kind"], ours: object, theirs: object): string;

// How far a piece of work is, by its share: one line that is redrawn on a terminal, a plain line now and then in a pipe.
import { duration } from "../../words.js";
import type { Progress } from "./progress.js";

/** Milliseconds between two drawings, and between two lines in a pipe. */
const REDRAW_MS = 200;
const SILENCE_MS = 30_000;
/** The time that is left is worth no word before so much of the work is done. */
const LEAST_SHARE = 0.02;

export class ShareLine {
  readonly #began: number;
  #last: number;

  constructor(
    readonly progress: Progress,
    readonly now: () => number = Date.now,
  ) {
    this.#began = this.#last = now();
  }

  /** `done` of `total` parts of what `label` names: "scoring poems: 40%  0:12<0:18". */
  show(label: string, done: number, total: number): void {
    const now = this.now();
    if (now - this.#last < (this.progress.live ? REDRAW_MS : SILENCE_MS)) return;
    this.#last = now;
    const share = total > 0 ? Math.min(1, done / total) : 1;
    const elapsed = (now - this.#began) / 1000;
    const left = share < LEAST_SHARE ? Number.NaN : (elapsed * (1 - share)) / share;
    const line = `${label}: ${Math.floor(100 * share)}%  ${duration(elapsed)}<${duration(left)}`;
    if (this.progress.live) this.progress.status(line);
    else this.progress.print(line);
  }

  stop(): void {
    this.progress.status(undefined);
  }
}

// Whether a body still comes at a pace at which it would ever be whole. A server that sends a byte a second is never
// silent, and would hold a download for years.

/** How many times the silence that is borne a slow stretch may last. */
const STRETCH = 6;

export class Pace {
  /** Bytes a second. */
  static readonly LEAST = 100;
  readonly #milliseconds: number;
  #since: number;
  #bytes = 0;

  /** @param silence seconds without a byte that are borne */
  constructor(
    silence: number,
    readonly now: () => number = Date.now,
  ) {
    this.#milliseconds = STRETCH * silence * 1000;
    this.#since = now();
  }

  /** Counts what has arrived; false where a whole stretch has brought too little. */
  keeps(bytes: number): boolean {
    this.#bytes += bytes;
    const passed = this.now() - this.#since;
    if (passed < this.#milliseconds) return true;
    const isEnough = this.#bytes >= (Pace.LEAST * passed) / 1000;
    this.#since = this.now();
    this.#bytes = 0;
    return isEnough;
  }
}

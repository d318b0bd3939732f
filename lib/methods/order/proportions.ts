// Which of several sources comes next, so that what has been drawn of each follows its share after every draw. No
// chance is in it. It knows no blocks: a draw is a source and an amount.
//
// Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980): of the sources that are far enough behind,
// the one whose deadline is nearest. With draws of one size no source is ever further from its share than
// 1 - 1 / (2k - 2) draws, k > 1 being the number of sources, and no rule does better.

/** Rounding of shares such as 0.1 must not decide who is far enough behind. */
const SLACK = 1e-9;

export class Proportions {
  readonly #shares: readonly number[];
  readonly #unit: number;
  readonly #least: number;
  readonly #amounts: Float64Array;
  #total = 0;

  /**
   * @param shares of each source, at least 0 and summing to 1; a source of share 0 is never drawn
   * @param unit the amount of a draw, or the mean of draws that differ
   */
  constructor(shares: readonly number[], unit: number) {
    this.#shares = shares;
    this.#unit = unit;
    const drawn = shares.filter((share) => share > 0).length;
    this.#least = drawn < 2 ? 0 : 1 / (2 * drawn - 2);
    this.#amounts = new Float64Array(shares.length);
  }

  /** The source to draw from. */
  next(): number {
    const draws = this.#total / this.#unit + 1; // as if the one to come were over
    let chosen = -1;
    let nearest = Number.POSITIVE_INFINITY;
    for (const [source, share] of this.#shares.entries()) {
      if (share === 0) continue;
      const have = this.#amounts[source]! / this.#unit;
      if (share * draws - have < this.#least - SLACK) continue;
      const deadline = (1 - this.#least + have) / share;
      if (deadline >= nearest - SLACK) continue;
      nearest = deadline;
      chosen = source;
    }
    return chosen;
  }

  /** Counts a draw. */
  add(source: number, amount: number): void {
    this.#amounts[source]! += amount;
    this.#total += amount;
  }
}

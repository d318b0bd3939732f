// Means over seeds, and whether a method is on the curve of plain learning rates or beside it.

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Of a sample; 0 for a single value. */
export function deviation(values) {
  if (values.length < 2) return 0;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

/**
 * The general loss that a plain learning rate has at the same gain, between the two settings whose gains enclose it;
 * undefined where none do.
 *
 * @param curve points { gain, loss }
 */
export function lossAtGain(curve, gain) {
  const points = [...curve].sort((a, b) => a.gain - b.gain);
  for (const [i, high] of points.entries()) {
    const low = points[i - 1];
    if (low === undefined || gain < low.gain || gain > high.gain) continue;
    const share = (gain - low.gain) / (high.gain - low.gain || 1);
    return low.loss + share * (high.loss - low.loss);
  }
  return undefined;
}

/**
 * What a method forgets less than a plain learning rate that gains as much, in bits per character, seed by seed.
 *
 * @param curves the plain rates' points of each seed
 * @param points the method's point of each seed
 */
export function advantage(curves, points) {
  const found = Object.entries(points).flatMap(([seed, { gain, loss }]) => {
    const plain = curves[seed] === undefined ? undefined : lossAtGain(curves[seed], gain);
    return plain === undefined ? [] : [plain - loss];
  });
  if (found.length === 0) return undefined;
  const error = deviation(found) / Math.sqrt(found.length);
  return { mean: mean(found), error, seeds: found.length };
}

/** In words: it must be beyond two standard errors and 0.02 bits to be called a difference. */
export function verdict(found) {
  if (found === undefined) return "beyond";
  if (found.seeds < 2) return "single";
  if (Math.abs(found.mean) <= Math.max(2 * found.error, 0.02)) return "same";
  return found.mean > 0 ? "better" : "worse";
}

/** The chance of a chi-square this large or larger (Wilson and Hilferty's approximation). */
export function chiSquareChance(value, degrees) {
  const z = (Math.cbrt(value / degrees) - (1 - 2 / (9 * degrees))) / Math.sqrt(2 / (9 * degrees));
  return 0.5 * erfc(z / Math.SQRT2);
}

/** Abramowitz and Stegun 7.1.26, within 1.5e-7. */
function erfc(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const tail =
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) *
    Math.exp(-x * x);
  return x >= 0 ? tail : 2 - tail;
}

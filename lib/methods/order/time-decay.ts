// Documents drawn by their age: weights that halve with every half-life, draws with and without replacement, and how many
// documents of each year they yield. It reads no documents; dates are days since 1970.
//
// Without replacement: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information Processing
// Letters 97 (2006): of exponential times at the rates w_i the first n have run out.

import type { NumpyGenerator } from "../../data/random/numpy-generator.js";

/** How fast older documents count less. */
export interface Decay {
  /** In days. */
  readonly halfLife: number;
  /** From which ages are counted; what is newer has the age 0. */
  readonly reference: number;
  /** Least weight, in [0, 1). */
  readonly floor: number;
}

/** ln w, w = max(floor, exp(-ln 2 x age / half-life)): logarithms, because weights of the very old vanish. */
export function logWeights(dates: Float64Array, { halfLife, reference, floor }: Decay): Float64Array {
  const least = Math.log(floor);
  return dates.map((date) => Math.max(least, (-Math.LN2 * Math.max(0, reference - date)) / halfLife));
}

/** The sum of the weights: the number of new documents that weigh as much. */
export function totalWeight(logs: Float64Array): number {
  return logs.reduce((sum, log) => sum + Math.exp(log), 0);
}

/**
 * Draws `count` of the documents: with replacement in the order of the draws, without in the documents' order.
 *
 * @throws RangeError for more draws without replacement than documents
 */
export function drawWeighted(
  logs: Float64Array,
  count: number,
  replacement: boolean,
  random: NumpyGenerator,
): Int32Array {
  return replacement ? withReplacement(logs, count, random) : withoutReplacement(logs, count, random);
}

function withReplacement(logs: Float64Array, count: number, random: NumpyGenerator): Int32Array {
  const highest = logs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  const sums = logs.map((log) => (sum += Math.exp(log - highest)));
  return Int32Array.from({ length: count }, () => firstAbove(sums, random.random() * sum));
}

function withoutReplacement(logs: Float64Array, count: number, random: NumpyGenerator): Int32Array {
  if (count > logs.length)
    throw new RangeError(`${count} of ${logs.length} cannot be drawn without replacement`);
  // the logarithm of a time that is exponential at the rate w
  const times = logs.map((log) => Math.log(-Math.log1p(-random.random())) - log);
  const order = Int32Array.from(logs.keys()).sort((a, b) => times[a]! - times[b]!);
  return order.slice(0, count).sort();
}

/** The first place of sums that rise which lies above a value. */
function firstAbove(sums: Float64Array, value: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * How often each document is to be expected among `count` draws. With replacement count x w / sum of w; without, the
 * chance that its time has run out when `count` have, 1 - exp(-t w), exact in the limit of many documents.
 */
export function expectedDraws(logs: Float64Array, count: number, replacement: boolean): Float64Array {
  const highest = logs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = logs.map((log) => Math.exp(log - highest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (replacement) return weights.map((weight) => (count * weight) / sum);
  if (count >= logs.length) return weights.map(() => 1);
  const drawn = (time: number) => weights.reduce((total, weight) => total - Math.expm1(-time * weight), 0);
  let [low, high] = [0, 1];
  while (drawn(high) < count && high < Number.MAX_VALUE / 2) high *= 2;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (drawn(middle) < count) low = middle;
    else high = middle;
  }
  return weights.map((weight) => -Math.expm1(-high * weight));
}

/** Documents of a span of years: how many there are, how many are to be expected, and how many were drawn. */
export interface YearCount {
  /** The first year, and the last. */
  readonly from: number;
  readonly to: number;
  readonly documents: number;
  readonly expected: number;
  readonly drawn: number;
}

const DAY = 86_400_000;
/** Spans of years that make a table short enough to read. */
const SPANS = [1, 5, 10, 25, 50, 100, 250, 500, 1000];
const MOST_LINES = 24;

/** Counts by year, or by spans of years where there are many; spans without a document are left out. */
export function countsByYear(
  dates: Float64Array,
  expected: Float64Array,
  drawn: Int32Array,
  mostLines = MOST_LINES,
): YearCount[] {
  const years = Int32Array.from(dates, (date) => new Date(date * DAY).getUTCFullYear());
  const span =
    SPANS.find((size) => new Set(years.map((year) => Math.floor(year / size))).size <= mostLines) ?? 1000;
  const counts = new Map<number, { documents: number; expected: number; drawn: number }>();
  for (const [i, year] of years.entries()) {
    const bin = Math.floor(year / span);
    const count = counts.get(bin) ?? { documents: 0, expected: 0, drawn: 0 };
    counts.set(bin, count);
    count.documents++;
    count.expected += expected[i]!;
  }
  for (const i of drawn) counts.get(Math.floor(years[i]! / span))!.drawn++;
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([bin, count]) => ({ from: bin * span, to: bin * span + span - 1, ...count }));
}

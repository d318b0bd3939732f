// Which documents of a corpus are trained on, how often and in which order: drawn by their age, sorted by a score, where
// the recipe says so. It hands the data path positions; it packs nothing.

import {
  type CurriculumScore,
  curriculumScore,
  DATE_FORM,
  type DateColumns,
  parseDate,
  parseSpan,
  type Recipe,
} from "../../config/index.js";
import { type Arrange, type ArrangeableSource, columnValues, type DatasetEntry } from "../../data/index.js";
import { NumpyGenerator } from "../../data/random/numpy-generator.js";
import { UserError } from "../../errors.js";
import { sortedByScore } from "./score-order.js";
import { countsByYear, drawWeighted, expectedDraws, logWeights, totalWeight } from "./time-decay.js";

const DAY = 86_400_000;

/** What the recipe makes of the documents before they are packed; undefined where all are taken as they stand. */
export function documentArrangement(recipe: Recipe): Arrange | undefined {
  const decays = recipe.time_decay_half_life !== null;
  const score = recipe.curriculum_by === null ? undefined : curriculumScore(recipe.curriculum_by);
  const sorts = score !== undefined && score.by !== "loss";
  if (!decays && !sorts) return undefined;
  return async (sources) => {
    const drawn = decays ? await drawByAge(recipe, sources) : { chosen: [], notes: [] };
    if (!sorts) return drawn;
    const chosen: (Int32Array | undefined)[] = [];
    for (const [index, source] of sources.entries()) {
      const positions = drawn.chosen[index] ?? Int32Array.from({ length: source.documents }, (_, i) => i);
      chosen.push(source.replay ? undefined : sortedByScore(positions, await scoresOf(source, score)));
    }
    return { chosen, notes: drawn.notes };
  };
}

/** How hard each document is: its tokens, or what a column says. */
async function scoresOf(source: ArrangeableSource, score: CurriculumScore): Promise<ArrayLike<number>> {
  if (score.by !== "column")
    return Float64Array.from({ length: source.documents }, (_, document) => source.tokens(document));
  const { column } = score;
  return columnNumbers(source, column, "curriculum_by", (value, place) => {
    const found =
      typeof value === "bigint" || typeof value === "string" ? Number(value || Number.NaN) : value;
    if (typeof found === "number" && Number.isFinite(found)) return found;
    throw new UserError(
      `${place}: column ${JSON.stringify(column)} has no number (${shown(value)}); give every document one, or leave it out`,
    );
  });
}

/** One draw over all sources but those that are replayed. */
async function drawByAge(
  recipe: Recipe,
  sources: readonly ArrangeableSource[],
): Promise<{ chosen: (Int32Array | undefined)[]; notes: string[] }> {
  const fresh = sources.filter(({ replay }) => !replay);
  const parts: Float64Array[] = [];
  for (const source of fresh) parts.push(await datesOf(source, recipe.time_decay_column));
  const dates = joined(parts);
  const halfLife = parseSpan(recipe.time_decay_half_life)!;
  const newest = dates.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const given = recipe.time_decay_reference;
  const reference = given === null ? newest : parseDate(given)! / DAY;
  const logs = logWeights(dates, { halfLife, reference, floor: recipe.time_decay_floor });
  const replacement = recipe.time_decay_replacement;
  const least = Math.max(1, Math.round(totalWeight(logs)));
  const count = recipe.time_decay_samples ?? (replacement ? logs.length : least);
  if (!replacement && count > logs.length)
    throw new UserError(
      `time_decay_samples: ${count} of ${logs.length} documents cannot be drawn without replacement; lower it, or set time_decay_replacement: true`,
    );
  const random = new NumpyGenerator((3n << 64n) | BigInt(recipe.seed));
  const drawn = drawWeighted(logs, count, replacement, random);
  const how = `${number(count)} draws ${replacement ? "with" : "without"} replacement from ${number(logs.length)} documents`;
  const from = new Date(reference * DAY).toISOString().replace(/T.*/, "");
  const table = countsByYear(dates, expectedDraws(logs, count, replacement), drawn);
  return {
    chosen: split(drawn, parts, sources),
    notes: [
      `time decay: half-life ${recipe.time_decay_half_life} before ${from}, ${how}`,
      ...table.map(
        (row) =>
          `  ${row.from === row.to ? row.from : `${row.from} to ${row.to}`}: ${number(row.documents)} documents, ` +
          `${row.expected.toFixed(1)} draws expected, ${number(row.drawn)} drawn`,
      ),
    ],
  };
}

/** Draws from all as positions in each; undefined for sources that nothing was drawn from. */
function split(
  drawn: Int32Array,
  parts: readonly Float64Array[],
  sources: readonly ArrangeableSource[],
): (Int32Array | undefined)[] {
  let first = 0;
  let part = 0;
  return sources.map(({ replay }) => {
    if (replay) return undefined;
    const [from, end] = [first, first + parts[part++]!.length];
    first = end;
    return drawn.filter((place) => place >= from && place < end).map((place) => place - from);
  });
}

/** Each document's date, in days since 1970. */
async function datesOf(source: ArrangeableSource, columns: DateColumns | null): Promise<Float64Array> {
  const { entry } = source;
  const named = typeof columns === "string" ? columns : columns?.[entry.name];
  const column = named ?? entry.dateColumn;
  if (column === undefined)
    throw new UserError(
      `time_decay_column: ${entry.name} has no column of dates; name it here, or as "columns": {"date": ...} in dataset_info.json`,
    );
  return columnNumbers(source, column, "time_decay_half_life", (value, place) => {
    const date = parseDate(value);
    if (date === undefined)
      throw new UserError(
        `${place}: column ${JSON.stringify(column)} has no date (${shown(value)}); give the document ${DATE_FORM}, or leave it out`,
      );
    return date / DAY;
  });
}

/**
 * What `read` makes of each document's cell.
 *
 * @param key that asks for it, for messages
 */
export async function columnNumbers(
  { entry, documents, row }: ArrangeableSource,
  column: string,
  key: string,
  read: (value: unknown, place: string) => number,
): Promise<Float64Array> {
  refuseRowless(entry, key);
  const byRow = new Map<number, number[]>();
  for (let document = 0; document < documents; document++) {
    const at = row(document);
    const there = byRow.get(at);
    if (there === undefined) byRow.set(at, [document]);
    else there.push(document);
  }
  const numbers = new Float64Array(documents);
  let at = 0;
  for await (const { value, place } of columnValues(entry, column)) {
    if (byRow.size === 0) break;
    for (const document of byRow.get(at) ?? []) numbers[document] = read(value, place);
    byRow.delete(at++);
  }
  return numbers;
}

function refuseRowless({ name, wholeFile, numSamples }: DatasetEntry, key: string): void {
  if (wholeFile)
    throw new UserError(`${key}: ${name} is made of whole files, which have no columns; leave it out`);
  if (numSamples !== undefined)
    throw new UserError(
      `${key}: num_samples of ${name} already draws rows at random; remove it from dataset_info.json (max_samples takes the first ones)`,
    );
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function shown(value: unknown): string {
  const text =
    value === undefined ? "nothing" : typeof value === "bigint" ? `${value}` : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

function number(n: number): string {
  return n.toLocaleString("en-US");
}

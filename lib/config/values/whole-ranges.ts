// Whole numbers and ranges of them, as a recipe writes layers and attention heads: 0,2-4 is 0, 2, 3 and 4.
import { custom, Mismatch } from "../key.js";

/** Attention heads by layer. */
export type HeadChoice = Readonly<Record<number, readonly number[]>>;

type Given = number | string | readonly (number | string)[];

/** The numbers in order, each once; undefined for what is no such list. */
function numbersOf(value: unknown): number[] | undefined {
  const found = new Set<number>();
  for (const item of Array.isArray(value) ? value : String(value).split(",")) {
    const range = /^\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*$/.exec(String(item));
    if (range === null) return undefined;
    const from = Number(range[1]);
    const to = Number(range[2] ?? range[1]);
    if (to < from) return undefined;
    for (let number = from; number <= to; number++) found.add(number);
  }
  return [...found].sort((a, b) => a - b);
}

const RANGES = "whole numbers and ranges, such as 0,2-4";

/** A key that names layers by their numbers, from 0. */
export function layerNumbers(doc: string) {
  return custom<number[] | null, Given>({
    default: null,
    type: RANGES,
    wantsText: true,
    json: { type: ["string", "integer", "array"], items: { type: ["integer", "string"] } },
    doc,
    read(value) {
      const found = numbersOf(value);
      if (found === undefined) throw new Mismatch(RANGES);
      return found;
    },
  });
}

const HEADS = "heads by layer, such as 3:0-3;5:1 or a mapping {3: 0-3, 5: 1}";

function entriesOf(value: unknown): [string, unknown][] {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return Object.entries(value);
  // YAML reads 3:1 without quotes as a number to the base of 60
  if (typeof value === "number") throw new Mismatch(`${HEADS}; put it in quotes`);
  const parts = Array.isArray(value) ? value.map(String) : String(value).split(";");
  return parts.map((part) => {
    const [layer = "", heads = "", ...rest] = part.split(":");
    if (rest.length > 0) throw new Mismatch(HEADS);
    return [layer, heads];
  });
}

/** A key that names attention heads, layer by layer. */
export function headNumbers(doc: string) {
  return custom<HeadChoice | null, string | readonly string[] | Readonly<Record<string, Given>>>({
    default: null,
    type: HEADS,
    wantsText: true,
    json: { type: ["string", "array", "object"], items: { type: "string" } },
    doc,
    read(value) {
      const chosen: Record<number, number[]> = {};
      for (const [name, list] of entriesOf(value)) {
        const [layers, heads] = [numbersOf(name), numbersOf(list)];
        if (layers === undefined || heads === undefined) throw new Mismatch(HEADS);
        for (const layer of layers) {
          const all = new Set([...(chosen[layer] ?? []), ...heads]);
          chosen[layer] = [...all].sort((a, b) => a - b);
        }
      }
      return chosen;
    },
  });
}

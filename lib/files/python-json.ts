// JSON as Python's json module writes and reads it, for the files that transformers and LLaMA-Factory also write:
// floats as repr (`1e-05`, `3.0`), NaN and Infinity bare, text in ASCII. Not a general serializer: JavaScript has one
// kind of number, so the caller says which keys hold Python integers; every other number is a float.

import { randomUUID } from "node:crypto";

export interface PythonJsonOptions {
  /** Keys whose numbers Python holds as int; they print without `.0`. */
  integers?: ReadonlySet<string>;
  /** Spaces a level; without it everything is on one line, with `, ` and `: ` as separators. */
  indent?: number;
  sortKeys?: boolean;
}

/** A float as Python's repr prints it: shortest digits that read back, exponents below 1e-4 and from 1e16 on. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [mantissa, exponentText] = value.toExponential().split("e") as [string, string];
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  const sign = value < 0 ? "-" : "";
  const digits = mantissa.replace("-", "").replace(".", "");
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

/** Python's `round(value, digits)`: the exact decimal value decides, a true tie goes to the even digit. */
export function pythonRound(value: number, digits: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= 1e21) return value;
  // toFixed decides on the exact value too, but sends a tie away from zero
  const rounded = value.toFixed(digits);
  const tail =
    value
      .toFixed(Math.min(100, digits + 60))
      .split(".")[1]
      ?.slice(digits) ?? "";
  const tie = /^50*$/.test(tail);
  if (!tie || Number(rounded.at(-1)) % 2 === 0) return Number(rounded);
  return Number(value.toFixed(digits + 1).slice(0, -1));
}

/** `str(timedelta(seconds=int(seconds)))`: `0:01:05`, `1 day, 2:00:00`. */
export function pythonTimedelta(seconds: number): string {
  const total = Math.max(0, Math.trunc(Number.isFinite(seconds) ? seconds : 0));
  const days = Math.floor(total / 86400);
  const two = (n: number) => String(Math.floor(n)).padStart(2, "0");
  const clock = `${Math.floor((total % 86400) / 3600)}:${two((total % 3600) / 60)}:${two(total % 60)}`;
  return days === 0 ? clock : `${days} day${days === 1 ? "" : "s"}, ${clock}`;
}

/** A string as `json.dumps` writes it: everything outside printable ASCII is escaped. */
function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** `json.dumps(value)`, optionally with `indent` and `sort_keys`. Keys whose value is undefined are left out. */
export function pythonJson(value: unknown, options: PythonJsonOptions = {}): string {
  const { integers, indent, sortKeys = false } = options;
  const write = (item: unknown, key: string, level: number): string => {
    if (item === null || item === undefined) return "null";
    if (typeof item === "boolean") return item ? "true" : "false";
    if (typeof item === "string") return pythonString(item);
    if (typeof item === "number") {
      return integers?.has(key) && Number.isInteger(item) ? String(item) : pythonFloat(item);
    }
    if (Array.isArray(item)) {
      return wrap(
        "[",
        "]",
        level,
        item.map((entry) => write(entry, key, level + 1)),
      );
    }
    const entries = Object.entries(item as object).filter(([, field]) => field !== undefined);
    if (sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const fields = entries.map(([name, field]) => `${pythonString(name)}: ${write(field, name, level + 1)}`);
    return wrap("{", "}", level, fields);
  };
  const wrap = (open: string, close: string, level: number, parts: string[]): string => {
    if (parts.length === 0) return open + close;
    if (indent === undefined) return open + parts.join(", ") + close;
    const inner = `\n${" ".repeat(indent * (level + 1))}`;
    return `${open}${inner}${parts.join(`,${inner}`)}\n${" ".repeat(indent * level)}${close}`;
  };
  return write(value, "", 0);
}

/** Stands for NaN while JSON.parse reads; no file can hold it. */
const NAN_MARK = `nan ${randomUUID()}`;

/** Reads what `json.dumps` writes, bare NaN and Infinity included. Throws SyntaxError like JSON.parse. */
export function parsePythonJson(text: string, controls = false): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const marked = rewriteLoose(text, controls, JSON.stringify(NAN_MARK));
    return JSON.parse(marked, (_key, value: unknown) => (value === NAN_MARK ? Number.NaN : value));
  }
}

/**
 * The text with what Python's readers take beyond JSON written as JSON does: `nan` for NaN, numbers too large for
 * Infinity, and where `controls` are taken, line ends and tabs in a text as escapes.
 */
function rewriteLoose(text: string, controls: boolean, nan: string): string {
  const word = /"|-?Infinity|NaN/g;
  const parts: string[] = [];
  let from = 0;
  for (let found = word.exec(text); found !== null; found = word.exec(text)) {
    parts.push(text.slice(from, found.index));
    from = word.lastIndex;
    if (found[0] === "NaN") parts.push(nan);
    else if (found[0] !== '"') parts.push(found[0].replace("Infinity", "1e999"));
    else {
      from = textEnd(text, found.index + 1);
      const whole = text.slice(found.index, from);
      parts.push(controls ? whole.replace(CONTROLS, escapeControl) : whole);
      word.lastIndex = from;
    }
  }
  return parts.join("") + text.slice(from);
}

/** The place behind the quote that closes a text which begins at `from`. */
function textEnd(text: string, from: number): number {
  for (let at = from; ; ) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let slashes = 0;
    while (text[quote - slashes - 1] === "\\" && quote - slashes > from) slashes++;
    at = quote + 1;
    if (slashes % 2 === 0) return at;
  }
}

/** Control characters but NUL, which no reader takes. */
const CONTROLS = /[\u0001-\u001f]/g;
const escapeControl = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

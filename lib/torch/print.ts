// How a tensor prints: a line with its shape, dtype and device, then the elements as PyTorch prints them
// (torch/_tensor_str.py with its defaults), long tensors shortened.
import { holdsValues, isHost } from "./device.js";
import { scope } from "./lifetime/scope.js";
import { cat } from "./operators/ops.js";
import type { Tensor } from "./tensor.js";

/** Elements that are shown at either end of a shortened dimension. */
const EDGE = 3;
/** Elements beyond which a tensor is shortened. */
const LONGEST = 1000;
const DIGITS = 4;
const LINE_WIDTH = 80;

type Format = (value: number | bigint) => string;

/** A sample of elements that will be shown, so that a large tensor on a device is not copied whole. */
function edges(x: Tensor): Tensor {
  let shown = x;
  for (let dim = 0; dim < x.ndim; dim++) {
    const size = shown.size(dim);
    if (size <= 2 * EDGE) continue;
    const head = shown.narrow(dim, 0, EDGE);
    const tail = shown.narrow(dim, size - EDGE, EDGE);
    shown = cat([head, tail], dim);
  }
  return shown;
}

/**
 * A number with four digits after the point. Halfway cases go to the even digit as in Python, where JavaScript takes the
 * larger: float32 has many of them.
 */
function rounded(value: number, write: (value: number, digits: number) => string): string {
  if (Object.is(value, -0)) return `-${write(0, DIGITS)}`;
  const text = write(value, DIGITS);
  const [whole = "", exponent = ""] = write(value, 30).split("e");
  if (!/\.\d{4}50*$/.test(whole)) return text;
  const shorter = `${whole.slice(0, whole.indexOf(".") + 1 + DIGITS)}${exponent && `e${exponent}`}`;
  return Number(shorter.at(DIGITS + whole.indexOf("."))) % 2 === 0 ? shorter : text;
}

/** Python spells an exponent with two digits at least. */
const scientific = (value: number): string =>
  rounded(value, (one, digits) => one.toExponential(digits)).replace(/e([+-])(\d)$/, "e$10$2");

/** What every number of a floating tensor is written by, from the finite ones that are not zero. */
function floatFormat(values: readonly number[]): Format {
  const sizes = values.filter((value) => Number.isFinite(value) && value !== 0).map(Math.abs);
  if (sizes.length === 0) return (value) => special(value) ?? `${value}.`;
  const [least, most] = [sizes.reduce((a, b) => Math.min(a, b)), sizes.reduce((a, b) => Math.max(a, b))];
  const areWhole = sizes.every(Number.isInteger);
  const isWide = most / least > 1000 || most > 1e8;
  const write = (value: number): string => {
    if (isWide || (!areWhole && least < 1e-4)) return scientific(value);
    if (areWhole) return `${Object.is(value, -0) ? "-0" : value}.`;
    return rounded(value, (one, digits) => one.toFixed(digits));
  };
  return (value) => special(value) ?? write(Number(value));
}

function special(value: number | bigint): string | undefined {
  if (Number.isNaN(value)) return "nan";
  if (value === Number.POSITIVE_INFINITY) return "inf";
  return value === Number.NEGATIVE_INFINITY ? "-inf" : undefined;
}

/** Every element's text, and the width to which PyTorch aligns them: the longest of those that are finite and not zero. */
function textsOf(x: Tensor, values: readonly (number | bigint)[]): { all: string[]; width: number } {
  const format = x.isFloatingPoint
    ? floatFormat(values as number[])
    : (value: number | bigint) => String(x.dtype === "bool" ? Boolean(value) : value);
  const counted = x.isFloatingPoint
    ? values.filter((value) => Number.isFinite(value) && value !== 0)
    : values;
  const width = Math.max(1, ...counted.map((value) => format(value).length));
  return { all: values.map((value) => format(value).padStart(width)), width };
}

/** The elements in brackets, rows broken at the width of a line. */
function block(x: Tensor, isShort: boolean): string {
  const shown = scope(() => (isShort ? edges(x.detach()) : x.detach()).toArray());
  const { all, width } = textsOf(x, Array.from(shown as ArrayLike<number>));
  const count = (dim: number): number => Math.max(1, Math.floor((LINE_WIDTH - dim) / (width + ", ".length)));
  let next = 0;
  const nest = (dim: number): string => {
    if (dim === x.ndim) return all[next++] ?? "";
    const size = x.shape[dim] as number;
    const isCut = isShort && size > 2 * EDGE;
    const isRow = dim === x.ndim - 1;
    const items: string[] = [];
    for (let i = 0; i < (isCut ? 2 * EDGE : size); i++) {
      if (isCut && i === EDGE) items.push(isRow ? " ..." : "...");
      items.push(nest(dim + 1));
    }
    const margin = " ".repeat(dim + 1);
    if (!isRow) return `[${items.join(`,${"\n".repeat(x.ndim - 1 - dim)}${margin}`)}]`;
    const lines = [];
    for (let i = 0; i < items.length; i += count(dim)) lines.push(items.slice(i, i + count(dim)).join(", "));
    return `[${lines.join(`,\n${margin}`)}]`;
  };
  return x.numel() === 0 ? "[]" : nest(0);
}

/** The text of a tensor: `Tensor [2] float32 [1.0000, 2.5000]`, the elements on lines below where they are many. */
export function formatTensor(x: Tensor): string {
  if (x.isDisposed) return "Tensor (disposed)";
  const where = isHost(x.device) ? "" : ` ${x.device}`;
  const head = `Tensor [${x.shape.join(", ")}] ${x.dtype}${where}${x.requiresGrad ? " requiresGrad" : ""}`;
  if (!holdsValues(x.device)) return head;
  const body = block(x, x.numel() > LONGEST);
  return body.includes("\n") ? `${head}\n${body}` : `${head} ${body}`;
}

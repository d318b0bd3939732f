// How a tensor prints: PyTorch's brackets, long ones shortened, with its shape, dtype and device.
import { holdsValues, isHost } from "./device.js";
import { cat } from "./ops.js";
import { scope } from "./scope.js";
import type { Tensor } from "./tensor.js";

const edge = 3;
const longest = 1000;
const perLine = 8;

function formatNumber(value: number | bigint, isFloat: boolean, scientific: boolean): string {
  if (typeof value === "bigint" || !isFloat) return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  return scientific ? value.toExponential(4) : value.toFixed(4);
}

/** A sample of elements that will be shown, so that a large tensor on a device is not copied whole. */
function edges(x: Tensor): Tensor {
  let shown = x;
  for (let dim = 0; dim < x.ndim; dim++) {
    const size = shown.size(dim);
    if (size <= 2 * edge) continue;
    const head = shown.narrow(dim, 0, edge);
    const tail = shown.narrow(dim, size - edge, edge);
    shown = cat([head, tail], dim);
  }
  return shown;
}

/** The text of a tensor: `Tensor [2, 2] float32 [[1.0000, 2.0000], [3.0000, 4.0000]]`, over several lines where long. */
export function formatTensor(x: Tensor): string {
  if (x.isDisposed) return "Tensor (disposed)";
  const where = isHost(x.device) ? "" : ` ${x.device}`;
  const head = `Tensor [${x.shape.join(", ")}] ${x.dtype}${where}${x.requiresGrad ? " requiresGrad" : ""}`;
  if (!holdsValues(x.device)) return head;
  const short = x.numel() > longest;
  const shown = scope(() => (short ? edges(x.detach()) : x.detach()).toArray());
  const values = Array.from(shown as ArrayLike<number>);
  const finite = values
    .filter((value) => Number.isFinite(Number(value)) && Number(value) !== 0)
    .map((v) => Math.abs(Number(v)));
  const scientific =
    x.isFloatingPoint && (finite.some((v) => v >= 1e8) || (finite.length > 0 && Math.max(...finite) < 1e-3));
  const texts =
    x.dtype === "bool"
      ? values.map((value) => String(Boolean(value)))
      : values.map((value) => formatNumber(value, x.isFloatingPoint, scientific));
  const width = Math.max(0, ...texts.map((text) => text.length));
  let next = 0;
  const nest = (dim: number): string => {
    if (dim === x.ndim) return (texts[next++] ?? "").padStart(x.ndim === 0 ? 0 : width);
    const size = x.shape[dim] as number;
    const cut = short && size > 2 * edge;
    const items: string[] = [];
    for (let i = 0; i < (cut ? 2 * edge : size); i++) {
      if (cut && i === edge) items.push("...");
      items.push(nest(dim + 1));
    }
    const innermost = dim === x.ndim - 1;
    const between = innermost && items.length <= 2 * perLine ? ", " : `,\n${" ".repeat(dim + 1)}`;
    return `[${items.join(between)}]`;
  };
  const body = nest(0);
  return body.includes("\n") ? `${head}\n${body}` : `${head} ${body}`;
}

// What a plain YAML scalar means, as PyYAML with OmegaConf's float rule reads it (YAML 1.1, and 1e-4 is a number).
// Quoted scalars never come here: they are text.

/** A float remembers that it was one, so that `${learning_rate}` inside text prints as Python prints it. */
export class Float {
  constructor(readonly value: number) {}
}

/** A value of the file before its key is known. */
export type Raw =
  | string
  | number
  | boolean
  | null
  | Float
  | readonly Raw[]
  | { readonly [name: string]: Raw };

const TRUE = /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSE = /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const NULL = /^(?:~|null|Null|NULL|)$/;
const INTEGER =
  /^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
// PyYAML's own rule and OmegaConf's, which adds exponents without a point or a sign.
const FLOAT = new RegExp(
  [
    "[-+]?[0-9][0-9_]*\\.[0-9_]*(?:[eE][-+][0-9]+)?",
    "\\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
    "[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\\.[0-9_]*",
    "[-+]?[0-9]+(?:_[0-9]+)*\\.[0-9_]*(?:[eE][-+]?[0-9]+)?",
    "[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)",
    "[-+]?\\.(?:inf|Inf|INF)",
    "\\.(?:nan|NaN|NAN)",
  ]
    .map((form) => `^(?:${form})$`)
    .join("|"),
);

/** The value of a plain scalar. */
export function plainScalar(source: string): string | number | boolean | null | Float {
  if (NULL.test(source)) return null;
  if (TRUE.test(source)) return true;
  if (FALSE.test(source)) return false;
  if (FLOAT.test(source)) return new Float(floatOf(source));
  if (INTEGER.test(source)) return integerOf(source);
  return source;
}

/** The value of a scalar tagged `!!float`. NaN if it is none. */
export function floatOf(source: string): number {
  const digits = source.replaceAll("_", "").toLowerCase();
  const sign = digits.startsWith("-") ? -1 : 1;
  const body = digits.replace(/^[-+]/, "");
  if (body === ".inf") return sign * Infinity;
  if (body === ".nan") return NaN;
  return sign * (body.includes(":") ? baseSixty(body) : Number(body));
}

/** The value of a scalar tagged `!!int`. NaN if it is none. */
export function integerOf(source: string): number {
  const digits = source.replaceAll("_", "");
  const sign = digits.startsWith("-") ? -1 : 1;
  const body = digits.replace(/^[-+]/, "");
  if (body.includes(":")) return sign * baseSixty(body);
  // YAML 1.1: a leading zero is octal.
  return sign * (/^0[0-7]+$/.test(body) ? Number.parseInt(body, 8) : Number(body));
}

function baseSixty(body: string): number {
  return body.split(":").reduce((total, part) => total * 60 + Number(part), 0);
}

/** A value as Python's str() prints it: what an interpolation in the middle of text inserts. */
export function pythonText(value: string | number | boolean | null | Float): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return value instanceof Float ? pythonFloat(value.value) : String(value);
}

function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [digits = "", exponentText = "0"] = value.toExponential().split("e");
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${digits}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  const plain =
    Math.abs(value) < 1
      ? value.toFixed(Math.max(0, digits.replace(/[-.]/g, "").length - 1 - exponent))
      : String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

/** The value without the distinction between 1 and 1.0, which no key makes. */
export function plainValue(raw: Raw): unknown {
  if (raw instanceof Float) return raw.value;
  if (Array.isArray(raw)) return raw.map(plainValue);
  if (typeof raw === "object" && raw !== null) {
    return Object.fromEntries(Object.entries(raw).map(([name, inner]) => [name, plainValue(inner)]));
  }
  return raw;
}

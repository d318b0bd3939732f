// What belongs to a weight of 4 bits in a checkpoint, by bitsandbytes' keys beside `X.weight` (codes, uint8 or a view of
// them as another dtype):
//   X.weight.absmax              the runs' scales: float32, or uint8 codes of them where they are nested
//   X.weight.quant_map           16 levels
//   X.weight.nested_absmax, X.weight.nested_quant_map (256)             where the scales are nested
//   X.weight.quant_state.bitsandbytes__nf4 (or fp4)   bytes of a JSON object: what no tensor says
// Not here: the layer (linear-4bit.ts).

import { UserError } from "../../errors.js";
import { pythonJson } from "../../files/python-json.js";
import type { DType, Tensor } from "../../torch/index.js";
import { dynamicLevels } from "./dynamic-map.js";
import { FOUR_BIT_TYPES, type FourBitType, fourBitLevels } from "./levels.js";

/** How weights are quantized. */
export interface FourBitFormat {
  /** Data type of the codes. */
  readonly type: FourBitType;
  /** Whether the scales are quantized too (double quantization). */
  readonly nested: boolean;
  /** Numbers that share a scale: a power of two from 32 to 4096. bitsandbytes' default is 64. */
  readonly run: number;
}

/** Scales of scales that share one in turn. */
export const NESTED_RUN = 256;

/** What the JSON object says. */
export interface QuantState extends FourBitFormat {
  /** Of the weight before: its values are rounded to it. */
  readonly dtype: DType;
  /** [out, in] */
  readonly shape: readonly number[];
  /** Added to every scale; 0 without nesting. */
  readonly offset: number;
}

/** The last part of the key of the JSON object. */
export function stateKey(type: FourBitType): `quant_state.bitsandbytes__${FourBitType}` {
  return `quant_state.bitsandbytes__${type}`;
}

/** The JSON object's bytes, as bitsandbytes writes them. */
export function stateBytes({ type, run, dtype, shape, nested, offset }: QuantState): Uint8Array {
  const plain = { quant_type: type, blocksize: run, dtype, shape };
  const all = nested
    ? { ...plain, nested_blocksize: NESTED_RUN, nested_dtype: "float32", nested_offset: offset }
    : plain;
  const integers = new Set(["blocksize", "shape", "nested_blocksize"]);
  return new TextEncoder().encode(pythonJson(all, { integers }));
}

const RUNS = [32, 64, 128, 256, 512, 1024, 2048, 4096];
const DTYPES: readonly DType[] = ["bfloat16", "float16", "float32"];

/**
 * Reads the JSON object; `source` is what errors call it.
 * @throws UserError where it is damaged or of a kind that is not known here
 */
export function readState(bytes: Uint8Array, source: string): QuantState {
  const fail = (what: string): never => {
    throw new UserError(
      `${source}: ${what}; copy or download the checkpoint again, or take the original weights`,
    );
  };
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    return fail("is no JSON object");
  }
  if (typeof raw !== "object" || raw === null) return fail("is no JSON object");
  const type = raw["quant_type"] as FourBitType;
  if (!FOUR_BIT_TYPES.includes(type))
    return fail(`quant_type ${JSON.stringify(type)} is neither nf4 nor fp4`);
  const run = raw["blocksize"] as number;
  if (!RUNS.includes(run)) return fail(`blocksize ${JSON.stringify(run)} is none of ${RUNS.join(", ")}`);
  const dtype = raw["dtype"] as DType;
  if (!DTYPES.includes(dtype)) return fail(`dtype ${JSON.stringify(dtype)} is none of ${DTYPES.join(", ")}`);
  const shape = raw["shape"] as number[];
  if (
    !Array.isArray(shape) ||
    shape.length !== 2 ||
    !shape.every((size) => Number.isInteger(size) && size > 0)
  )
    return fail(`shape ${JSON.stringify(shape)} is not that of a linear layer`);
  const nested = raw["nested_blocksize"] !== undefined;
  if (nested && raw["nested_blocksize"] !== NESTED_RUN)
    return fail(`nested_blocksize ${JSON.stringify(raw["nested_blocksize"])} is not ${NESTED_RUN}`);
  const offset = nested ? raw["nested_offset"] : 0;
  if (typeof offset !== "number") return fail("nested_offset is no number");
  return { type, run, dtype, shape, nested, offset };
}

/** The parts of a weight's state and their sizes: what a checkpoint must hold beside the codes. */
export function partSizes({ type, nested, run }: FourBitFormat, numbers: number): Record<string, number> {
  const runs = Math.ceil(numbers / run);
  return {
    absmax: runs,
    quant_map: fourBitLevels(type).length,
    ...(nested && { nested_absmax: Math.ceil(runs / NESTED_RUN), nested_quant_map: 256 }),
  };
}

/**
 * Checks the parts that a checkpoint holds of a weight.
 * @throws UserError naming what is missing, of another size, or not bitsandbytes' own map
 */
export function checkParts(parts: ReadonlyMap<string, Tensor>, state: QuantState, source: string): void {
  const advice = "copy or download the checkpoint again";
  const numbers = (state.shape[0] as number) * (state.shape[1] as number);
  const codes = parts.get("") as Tensor;
  if (codes.toBytes().byteLength !== Math.ceil(numbers / 2))
    throw new UserError(
      `${source}: ${codes.toBytes().byteLength} bytes of codes where shape [${state.shape}] asks for ${Math.ceil(numbers / 2)}; ${advice}`,
    );
  const sizes = partSizes(state, numbers);
  const foreign = [...parts.keys()].find(
    (part) => !["", stateKey(state.type), ...Object.keys(sizes)].includes(part),
  );
  if (foreign !== undefined)
    throw new UserError(
      `${source}.${foreign}: unexpected; it is no part of a weight of ${state.type}; ${advice}`,
    );
  for (const [part, size] of Object.entries(sizes)) {
    const tensor = parts.get(part);
    if (tensor === undefined) throw new UserError(`${source}.${part}: missing; ${advice}`);
    const dtype: DType = part === "absmax" && state.nested ? "uint8" : "float32";
    if (tensor.numel() !== size || tensor.dtype !== dtype)
      throw new UserError(
        `${source}.${part}: ${tensor.dtype} [${tensor.shape}] where ${size} of ${dtype} belong; ${advice}`,
      );
  }
  const maps = {
    quant_map: fourBitLevels(state.type),
    ...(state.nested && { nested_quant_map: dynamicLevels() }),
  };
  for (const [part, levels] of Object.entries(maps)) {
    const found = (parts.get(part) as Tensor).toArray() as Float32Array;
    if (levels.some((level, i) => Math.abs(level - (found[i] as number)) > 1e-6))
      throw new UserError(
        `${source}.${part}: other levels than bitsandbytes' ${state.type}; take the original weights`,
      );
  }
}

// The numbers that codes of 4 bits stand for: bitsandbytes' NF4 and FP4 (Dettmers et al. 2023, arXiv:2305.14314, appendix
// E), each as its float32 has it. Those of 8 bits: dynamic-map.ts.

/** A data type of 4 bits, by bitsandbytes' name. */
export type FourBitType = "nf4" | "fp4";

/** Every data type of 4 bits. */
export const FOUR_BIT_TYPES: readonly FourBitType[] = ["nf4", "fp4"];

const NF4 = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
  -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
];
// one bit of sign, two of exponent, one of mantissa; in units of the largest
const FP4 = [0, 0.0625, 8, 12, 4, 6, 2, 3];

/** The 16 levels, in the order of their codes: what a checkpoint's `quant_map` holds. */
export function fourBitLevels(type: FourBitType): Float32Array {
  if (type === "nf4") return Float32Array.from(NF4);
  return Float32Array.from([...FP4, ...FP4.map((level) => (level === 0 ? 0 : -level))], (level) =>
    Math.fround(level / 12),
  );
}

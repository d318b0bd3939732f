// Linear layers whose weights are kept or multiplied in fewer bits; exports only.

export { CodedLinear } from "./coded-linear.js";
export { dynamicLevels } from "./dynamic-map.js";
export { FLOAT8_CAPABILITY, Float8Linear, suitsFloat8 } from "./float8-linear.js";
export { type Float8Format, FrozenFloat8Linear } from "./frozen-float8.js";
export { hasInt8Products, type IntegerFormat, IntegerLinear } from "./integer-linear.js";
export { FOUR_BIT_TYPES, type FourBitType, fourBitLevels } from "./levels.js";
export { Linear4bit } from "./linear-4bit.js";
export { type EightBitFormat, Linear8bit } from "./linear-8bit.js";
export type { FourBitFormat } from "./quant-state.js";

// Linear layers whose weights are kept in fewer bits, as bitsandbytes stores them; exports only.

export { CodedLinear } from "./coded-linear.js";
export { dynamicLevels } from "./dynamic-map.js";
export { hasInt8Products, type IntegerFormat, IntegerLinear } from "./integer-linear.js";
export { FOUR_BIT_TYPES, type FourBitType, fourBitLevels } from "./levels.js";
export { Linear4bit } from "./linear-4bit.js";
export { type EightBitFormat, Linear8bit } from "./linear-8bit.js";
export type { FourBitFormat } from "./quant-state.js";

// Linear layers whose weights are kept in fewer bits, as bitsandbytes stores them; exports only.

export { dynamicLevels } from "./dynamic-map.js";
export { FOUR_BIT_TYPES, type FourBitType, fourBitLevels } from "./levels.js";
export { Linear4bit } from "./linear-4bit.js";
export type { FourBitFormat } from "./quant-state.js";

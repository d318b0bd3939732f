// Layers and the tree that holds them; exports only.

export { type AttentionKernel, causalAttention } from "./attention.js";
export { Dropout } from "./dropout.js";
export { Embedding } from "./embedding.js";
export { kaimingUniform_, normal_, uniform_, zeroRow_ } from "./init.js";
export type { LayerOptions } from "./linear.js";
export { Linear } from "./linear.js";
export type { BinaryCrossEntropyOptions, CrossEntropyOptions, LossOptions, Reduction } from "./losses.js";
export {
  binaryCrossEntropyWithLogits,
  crossEntropyLoss,
  klDivLoss,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from "./losses.js";
export type { Layer, LoadedKeys, ParameterSlot, WeightedLayer } from "./module.js";
export { forwardAll, Module } from "./module.js";
export type { LayerNormOptions } from "./norm.js";
export { addNormed, LayerNorm, RMSNorm } from "./norm.js";
export { Projection } from "./projection.js";
export {
  CodedLinear,
  dynamicLevels,
  type EightBitFormat,
  FLOAT8_CAPABILITY,
  type Float8Format,
  Float8Linear,
  FOUR_BIT_TYPES,
  type FourBitFormat,
  type FourBitType,
  FrozenFloat8Linear,
  fourBitLevels,
  hasInt8Products,
  type IntegerFormat,
  IntegerLinear,
  Linear4bit,
  Linear8bit,
  suitsFloat8,
} from "./quantized/index.js";
export {
  type Keeping,
  type Recalled,
  recallable,
  recalling,
  recomputeAll,
  remembering,
  shapeOnly,
} from "./recall.js";
export { ringAttention, type SharedRows } from "./ring-attention.js";
export type { Step } from "./sequential.js";
export { Sequential } from "./sequential.js";
export { swiglu } from "./swiglu.js";

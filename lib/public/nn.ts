// `qwen-pt/nn`: modules and the layers that models are made of.

export {
  causalAttention,
  Embedding,
  forwardAll,
  kaimingUniform_,
  type Layer,
  type LayerOptions,
  Linear,
  Module,
  normal_,
  type ParameterSlot,
  Projection,
  RMSNorm,
  swiglu,
  uniform_,
  type WeightedLayer,
} from "../nn/index.js";

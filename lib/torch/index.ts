// The binding's public face: tensors, operators, autograd, lifetime, random state, devices, safetensors.
export * from "./autograd.js";
export * from "./creation.js";
export * from "./device.js";
export { bytesPerElement, type Device, type DType, isFloatingPoint, type TypedArray } from "./dtype.js";
export * from "./errors.js";
export { type GraphRecorder, graphRecorder, type Recording } from "./graph.js";
export { Generator } from "./handle.js";
export { fusedKernels, kernelCache, kernelCacheProblem } from "./kernels.js";
export {
  addonPath,
  addonRecord,
  type BuildInfo,
  type DeviceMemory,
  type KernelState,
  type OperatorInfo,
  type Parameter,
} from "./native.js";
export { call, type Operand, op, operators, schemaOf } from "./operator.js";
export * as ops from "./ops.js";
export {
  cat,
  crossEntropy,
  dropout,
  embedding,
  indexAdd_,
  linear,
  linearCrossEntropy,
  linearCrossEntropyInto,
  loraLinear,
  rmsNorm,
  scaledDotProductAttention,
  stack,
  where,
} from "./ops.js";
export { isFixedPoint, type ProductKind, type ProductKinds, productKinds } from "./products.js";
export * from "./random.js";
export * from "./safetensors.js";
export * from "./scope.js";
export { fromBytes, type IndexItem, type NestedArray, Tensor, type TensorOptions, tensor } from "./tensor.js";
export { type Transfer, type Transfers, transfersOf } from "./transfers.js";

// The binding's public face: tensors, operators, autograd, lifetime, random state, devices, safetensors.

export { type GraphRecorder, graphRecorder, type Recording } from "./accelerator/graph.js";
export { type Transfer, type Transfers, transfersOf } from "./accelerator/transfers.js";
export * from "./autograd.js";
export * from "./creation.js";
export * from "./device.js";
export { bytesPerElement, type Device, type DType, isFloatingPoint, type TypedArray } from "./dtype.js";
export * from "./errors.js";
export { Generator } from "./lifetime/handle.js";
export * from "./lifetime/scope.js";
export {
  addonPath,
  addonRecord,
  type BuildInfo,
  type DeviceMemory,
  type KernelState,
  type OperatorInfo,
  type Parameter,
} from "./native.js";
export { fusedKernels, kernelCache, kernelCacheProblem } from "./operators/kernels.js";
export { call, type Operand, op, operators, schemaOf } from "./operators/operator.js";
export * as ops from "./operators/ops.js";
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
} from "./operators/ops.js";
export { isFixedPoint, type ProductKind, type ProductKinds, productKinds } from "./operators/products.js";
export * from "./random.js";
export * from "./safetensors.js";
export { fromBytes, type IndexItem, type NestedArray, Tensor, type TensorOptions, tensor } from "./tensor.js";

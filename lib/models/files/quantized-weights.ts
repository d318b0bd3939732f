// The linear layers of a model in fewer bits: put in the plain ones' places before there are weights, and filled from a
// checkpoint that has them so already, or from one of plain weights, a tensor at a time from the mapped file.

import { UserError } from "../../errors.js";
import {
  CodedLinear,
  Float8Linear,
  FrozenFloat8Linear,
  IntegerLinear,
  Linear,
  Linear4bit,
  Linear8bit,
  type Module,
  type Projection,
  suitsFloat8,
} from "../../nn/index.js";
import {
  type Device,
  type DType,
  isFloatingPoint,
  isHost,
  releasePages,
  scope,
  type Tensor,
} from "../../torch/index.js";
import type { StoredTensor } from "./checkpoint-files.js";
import type { Quantization } from "./quantization.js";

/** What an output head is called: it keeps its 16 bits, as in transformers. */
const HEAD = "lm_head";

/** Puts a layer of fewer bits, without values, in the place of every linear layer but the head and those skipped. */
export function quantizeLayers(model: Module, quantization: Quantization): void {
  const isFloat8 = quantization.type === "fp8 products";
  for (const [path, layer] of plainLayers(model, quantization.skipped)) {
    if (isFloat8 && !suitsFloat8(layer.inFeatures, layer.outFeatures)) continue;
    model.replace(path, emptyLayer(layer, quantization));
    for (const parameter of layer.parameters()) parameter.dispose();
  }
}

/** Has every linear layer but the head, where its sides allow it, multiply in 8-bit floats; weights stay what they are. */
export function multiplyInFloat8(model: Module): void {
  for (const [path, layer] of plainLayers(model, []))
    if (suitsFloat8(layer.inFeatures, layer.outFeatures)) model.replace(path, Float8Linear.of(layer));
}

function plainLayers(model: Module, skipped: readonly string[]): [string, Linear][] {
  const isSkipped = (path: string): boolean =>
    [HEAD, ...skipped].some((name) => path === name || `.${path}.`.includes(`.${name}.`));
  return [...model.namedModules()].filter(
    (entry): entry is [string, Linear] => entry[1] instanceof Linear && !isSkipped(entry[0]),
  );
}

function emptyLayer(layer: Linear, quantization: Quantization): Projection {
  const { inFeatures, outFeatures, dtype, bias } = layer;
  const options = { dtype, bias: bias !== undefined };
  if (quantization.type === "int8 products") return new IntegerLinear(inFeatures, outFeatures, options);
  if (quantization.type === "fp8 products") return new FrozenFloat8Linear(inFeatures, outFeatures, options);
  return quantization.type === "int8"
    ? new Linear8bit(inFeatures, outFeatures, quantization, options)
    : new Linear4bit(inFeatures, outFeatures, quantization, options);
}

/** How the layers' weights are taken. */
export interface TakeOptions {
  /** Plain weights are rounded to this before they are quantized. Default: as stored. */
  dtype?: DType | undefined;
  device?: Device | undefined;
}

/**
 * Fills the model's layers of fewer bits from a checkpoint, and gives the names of what is dealt with: parameters of the
 * model and tensors of the checkpoint alike.
 * @throws UserError naming file and tensor where one is missing, damaged or of another shape
 */
export function takeQuantized(
  model: Module,
  dir: string,
  stored: ReadonlyMap<string, StoredTensor>,
  { dtype, device }: TakeOptions,
): Set<string> {
  const done = new Set<string>();
  for (const [path, layer] of model.namedModules()) {
    if (!(layer instanceof CodedLinear)) continue;
    const key = `${path}.weight`;
    const found = stored.get(key);
    if (found === undefined)
      throw new UserError(`${dir}: no tensor "${key}"; config.json and the weights do not belong together`);
    const parts = partsOf(layer, path, stored);
    scope(() => {
      if (parts.size > 1)
        layer.adopt(new Map([...parts].map(([part, { tensor }]) => [part, tensor])), `${found.file}: ${key}`);
      else quantizeInto(layer, found, key, dtype);
    });
    if (device !== undefined && !isHost(device)) layer.to({ device });
    for (const { name } of parts.values()) done.add(name);
    for (const { name } of layer.parameterSlots(path))
      if (layer.partOf(name.slice(path.length + 1)) !== undefined) done.add(name);
  }
  return done;
}

function partsOf(
  layer: CodedLinear,
  path: string,
  stored: ReadonlyMap<string, StoredTensor>,
): Map<string, { name: string; tensor: Tensor }> {
  const parts = new Map<string, { name: string; tensor: Tensor }>();
  for (const [name, { tensor }] of stored) {
    if (!name.startsWith(`${path}.`)) continue;
    const part = layer.partOf(name.slice(path.length + 1));
    if (part !== undefined) parts.set(part, { name, tensor });
  }
  return parts;
}

function quantizeInto(layer: CodedLinear, { file, tensor }: StoredTensor, key: string, dtype?: DType): void {
  const shape = [layer.outFeatures, layer.inFeatures];
  if (tensor.dtype === "uint8" || tensor.dtype === "int8")
    throw new UserError(
      `${file}: ${key}: codes without the tensors that they are read with (${tensor.dtype === "int8" ? key.replace(/weight$/, "SCB") : `${key}.absmax ...`}); download the checkpoint again`,
    );
  if (tensor.shape.join() !== shape.join())
    throw new UserError(
      `${file}: ${key}: shape [${tensor.shape}] where config.json asks for [${shape}]; the two do not belong together`,
    );
  if (!isFloatingPoint(tensor.dtype) || tensor.dtype === "float64")
    throw new UserError(`${file}: ${key}: dtype ${tensor.dtype} is not quantized; save it in 16 or 32 bits`);
  layer.quantize(dtype === undefined ? tensor : tensor.to(dtype));
  // the file's pages have been read for good
  releasePages(tensor);
}

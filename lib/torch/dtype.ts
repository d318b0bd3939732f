// Element types: PyTorch's names without the `torch.`, their sizes, and the typed arrays that hold them.
import { ArgumentError } from "./errors.js";

/** An element type. */
export type DType =
  | "float32"
  | "float64"
  | "bfloat16"
  | "float16"
  | "int64"
  | "int32"
  | "int16"
  | "int8"
  | "uint8"
  | "bool";

/** A device: `cpu`, `cuda`, `cuda:0`, `meta`. */
export type Device = string;

/** A typed array as tensors give and take them. JavaScript has none for bfloat16 and float16: their bits travel as Uint16Array. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint16Array;

const sizes: Record<DType, number> = {
  float32: 4,
  float64: 8,
  bfloat16: 2,
  float16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** Bytes an element takes. */
export function bytesPerElement(dtype: DType): number {
  return sizes[dtype];
}

/** Whether a string names an element type. */
export function isDType(name: string): name is DType {
  return Object.hasOwn(sizes, name);
}

/** Whether elements are real numbers with a fraction. */
export function isFloatingPoint(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64" || dtype === "bfloat16" || dtype === "float16";
}

/** The element type that a typed array holds, or undefined for one that tensors do not know. */
export function dtypeOfArray(array: ArrayBufferView): DType | undefined {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof Float64Array) return "float64";
  if (array instanceof BigInt64Array) return "int64";
  if (array instanceof Int32Array) return "int32";
  if (array instanceof Int16Array) return "int16";
  if (array instanceof Int8Array) return "int8";
  if (array instanceof Uint8Array) return "uint8";
  return undefined;
}

/** Views bytes as the typed array of an element type (Uint16Array, the bits, for the 16-bit floats). */
export function arrayOver(buffer: ArrayBuffer, dtype: DType): TypedArray {
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer);
    case "float64":
      return new Float64Array(buffer);
    case "int64":
      return new BigInt64Array(buffer);
    case "int32":
      return new Int32Array(buffer);
    case "int16":
      return new Int16Array(buffer);
    case "int8":
      return new Int8Array(buffer);
    case "bfloat16":
    case "float16":
      return new Uint16Array(buffer);
    case "uint8":
    case "bool":
      return new Uint8Array(buffer);
    default:
      // a safetensors file or an operator may bring one that DType does not list: uint16, complex64
      throw new ArgumentError(`dtype ${dtype as string} has no typed array here: convert the tensor first`);
  }
}

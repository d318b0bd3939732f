// Files of float32 tensors, read and written without libtorch: the differential run's folders are made by it.
import { readFileSync, writeFileSync } from "node:fs";

/** @returns a map of names to { shape, data } */
export function readTensors(file) {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (dtype !== "F32") throw new Error(`${file}: ${name} is ${dtype}`);
    const [from, to] = offsets.map((offset) => 8 + length + offset);
    tensors.set(name, { shape, data: new Float32Array(new Uint8Array(bytes.subarray(from, to)).buffer) });
  }
  return tensors;
}

export function writeTensors(file, tensors) {
  const header = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, 0x20)]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  const parts = [...tensors.values()].map(({ data }) =>
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  );
  writeFileSync(file, Buffer.concat([size, padded, ...parts]));
}

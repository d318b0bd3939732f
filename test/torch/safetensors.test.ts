// Reading and writing safetensors files, held against Python's safetensors: it writes what we read, reads what we
// write, and our bytes are its bytes. The format's rules have their own test.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { addonPath, native } from "../../lib/torch/native.js";
import { loadSafetensors, SafetensorsFile, saveSafetensors } from "../../lib/torch/safetensors.js";
import { fromBytes, type Tensor, tensor } from "../../lib/torch/tensor.js";
import { entry, fileBytes, temporaryFolder } from "./safetensors-bytes.js";

const folder = temporaryFolder();
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);

function python(script: string): string {
  const command = process.env.QWEN_PT_REFERENCE_PYTHON;
  if (command === undefined) throw new Error("QWEN_PT_REFERENCE_PYTHON is not set");
  return execFileSync(command, ["-c", script], { cwd: folder, encoding: "utf8" });
}

const bytesOf = (value: Tensor): number[] => [...new Uint8Array(value.toBytes())];

// One tensor of each dtype, each with bytes that tell its elements apart, edge values among them.
const everyDtype = `
import torch
from safetensors.torch import save_file
inf, nan = float("inf"), float("nan")
tensors = {
    "bool": torch.tensor([True, False, True]),
    "uint8": torch.tensor([0, 1, 255], dtype=torch.uint8), "int8": torch.tensor([-128, 0, 127], dtype=torch.int8),
    "int16": torch.tensor([[-32768], [32767]], dtype=torch.int16), "int32": torch.tensor([-2**31, 2**31 - 1], dtype=torch.int32),
    "int64": torch.tensor([-2**63, 2**63 - 1]), "uint16": torch.tensor([65535], dtype=torch.uint16),
    "uint32": torch.tensor([2**32 - 1], dtype=torch.uint32), "uint64": torch.tensor([2**63 + 1], dtype=torch.uint64),
    "float16": torch.tensor([1.5, -inf, nan], dtype=torch.float16), "bfloat16": torch.tensor([1.5, inf, -0.0], dtype=torch.bfloat16),
    "float32": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7, "float64": torch.tensor(3.141592653589793, dtype=torch.float64),
    "complex64": torch.tensor([1 + 2j]), "empty": torch.zeros(0, 4), "z.a\\n\\u00e9\\"": torch.ones(1),
}`;

describe("with Python's safetensors", () => {
  let theirs: Buffer;
  beforeAll(() => {
    python(`${everyDtype}\nsave_file(tensors, "theirs.safetensors", metadata={"format": "pt"})`);
    theirs = fs.readFileSync(at("theirs.safetensors"));
  });

  it("reads its file: names, dtypes, shapes, values", () => {
    const file = SafetensorsFile.open(at("theirs.safetensors"));
    expect(file.metadata.format).toBe("pt");
    for (const name of [
      "bool",
      "uint8",
      "int8",
      "int16",
      "int32",
      "int64",
      "uint16",
      "uint32",
      "uint64",
      "float16",
    ]) {
      expect(file.tensor(name).dtype).toBe(name);
    }
    expect(file.tensor("float32").tolist()).toEqual(
      [0, 3].map((row) => [0, 1, 2].map((i) => Math.fround((row + i) / 7))),
    );
    expect(file.tensor("float64").shape).toEqual([]);
    expect(file.tensor("float64").item()).toBe(Math.PI);
    expect(file.tensor("empty").shape).toEqual([0, 4]);
    expect(file.tensor("bfloat16").tolist()).toEqual([1.5, Infinity, -0]);
    expect(file.tensor("int64").toArray()).toEqual(new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n]));
    expect(file.has('z.a\né"')).toBe(true);
  });

  it("writes the same tensors in the same bytes", () => {
    saveSafetensors(at("ours.safetensors"), [...loadSafetensors(at("theirs.safetensors"))].reverse());
    expect(fs.readFileSync(at("ours.safetensors")).equals(theirs)).toBe(true);
  });

  it("is read by it", () => {
    const values = tensor(
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
      { dtype: "float32" },
    );
    saveSafetensors(at("read.safetensors"), {
      "model.layers.0.weight": values.t(), // not in C order
      half: values.to("bfloat16").narrow(1, 1, 2),
      scalar: tensor(7, { dtype: "int64" }),
      same: values,
    });
    const script = `
import json
from safetensors import safe_open
with safe_open("read.safetensors", "pt") as f:
    t = {k: f.get_tensor(k) for k in f.keys()}
    print(json.dumps([f.metadata(), {k: [str(v.dtype), v.tolist()] for k, v in t.items()}]))`;
    expect(JSON.parse(python(script))).toEqual([
      { format: "pt" },
      {
        "model.layers.0.weight": [
          "torch.float32",
          [
            [1, 4],
            [2, 5],
            [3, 6],
          ],
        ],
        half: [
          "torch.bfloat16",
          [
            [2, 3],
            [5, 6],
          ],
        ],
        scalar: ["torch.int64", 7],
        same: [
          "torch.float32",
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
        ],
      },
    ]);
  });
});

describe("saveSafetensors", () => {
  it("pads the header to 8 bytes and orders by dtype, then by name", () => {
    const file = at("order.safetensors");
    const one = (dtype: "float32" | "float16" | "uint8" | "int64"): Tensor => tensor([1], { dtype });
    saveSafetensors(file, {
      a: one("uint8"),
      c: one("float32"),
      b: one("float32"),
      d: one("int64"),
      e: one("float16"),
    });
    expect(SafetensorsFile.open(file).names).toEqual(["d", "b", "c", "e", "a"]);
    expect(fs.readFileSync(file).readBigUInt64LE(0) % 8n).toBe(0n);
  });

  it("writes no tensors, no metadata, and metadata in the caller's order", () => {
    const file = at("few.safetensors");
    saveSafetensors(file, {}, {});
    expect(fs.readFileSync(file).subarray(8).toString()).toBe("{}      ");
    saveSafetensors(file, new Map(), { z: "\u0001\u{1f600}", a: '"' });
    expect(fs.readFileSync(file).subarray(8).toString().trimEnd()).toBe(
      '{"__metadata__":{"z":"\\u0001\u{1f600}","a":"\\""}}',
    );
    expect(Object.entries(SafetensorsFile.open(file).metadata)).toEqual([
      ["z", "\u0001\u{1f600}"],
      ["a", '"'],
    ]);
  });

  it("writes tensors that need a gradient, and leaves nothing beside the file", () => {
    const weight = tensor([1, 2], { dtype: "float32", requiresGrad: true });
    saveSafetensors(at("grad.safetensors"), { weight });
    expect(loadSafetensors(at("grad.safetensors")).get("weight")?.tolist()).toEqual([1, 2]);
    expect(fs.readdirSync(folder).filter((name) => name.includes(".tmp"))).toEqual([]);
  });

  const x = (): Tensor => tensor([1], { dtype: "float32" });
  it.each([
    [
      "a name twice",
      () =>
        [
          ["a", x()],
          ["a", x()],
        ] as [string, Tensor][],
      /bad\.safetensors: .*tensor "a" appears twice/,
    ],
    [
      "the metadata's name",
      () => [["__metadata__", x()]] as [string, Tensor][],
      /the format keeps that name/,
    ],
    [
      "a tensor without bytes",
      () => [["m", x().to("meta")]] as [string, Tensor][],
      /"m" cannot be written: .* meta device/,
    ],
  ])("refuses %s, and the old file stays", (_, make, message) => {
    const file = at("bad.safetensors");
    fs.writeFileSync(file, "old");
    expect(() => saveSafetensors(file, make())).toThrow(UserError);
    expect(() => saveSafetensors(file, make())).toThrow(message);
    expect(fs.readFileSync(file, "utf8")).toBe("old");
  });

  it.each([
    [
      "a folder that is not there",
      "absent/x.safetensors",
      /absent\/x\.safetensors: cannot write: No such file/,
    ],
    ["a folder in the file's place", "", /cannot write: Is a directory/],
    ["a name that is too long", "n".repeat(300), /cannot write: File name too long/],
  ])("names the file where there is %s", (_, name, message) => {
    expect(() => saveSafetensors(at(name), { x: x() })).toThrow(message);
    expect(() => saveSafetensors(at(name), { x: x() })).toThrow(UserError);
  });

  // A limit on a file's size plays the full disk; the process must ignore the signal that comes with it.
  it.skipIf(process.platform === "win32")(
    "where the disk is full: the old file stays, nothing is left beside it",
    () => {
      const full = fs.mkdtempSync(at("full-"));
      const file = path.join(full, "x.safetensors");
      saveSafetensors(file, { old: x() });
      const before = fs.readFileSync(file);
      const script = `
      const native = require(process.argv[1]);
      const t = native.tensorFromBytes(new ArrayBuffer(1 << 20), [1 << 20], "uint8", 0, 1 << 20);
      try { native.safetensorsWrite(process.argv[2], ["t"], [t], []); } catch (e) { console.log(e.code, e.message); }`;
      const addon = addonPath() as string;
      const shell = `trap "" XFSZ; ulimit -f 100; exec "$0" -e "$1" "$2" "$3"`;
      const output = execFileSync("bash", ["-c", shell, process.execPath, script, addon, file], {
        encoding: "utf8",
      });
      expect(output).toBe(`ERR_FILE ${file}: cannot write: File too large\n`);
      expect(fs.readdirSync(full)).toEqual(["x.safetensors"]);
      expect(fs.readFileSync(file).equals(before)).toBe(true);
    },
  );
});

it("is not stopped by what a killed process of the same number left beside the file", () => {
  const file = at("leftovers.safetensors");
  const left = Array.from({ length: 400 }, (_, n) => `${file}.tmp-${process.pid}-${n}`);
  for (const name of left) fs.writeFileSync(name, "");
  saveSafetensors(file, new Map([["a", tensor([1, 2])]]));
  expect(loadSafetensors(file).get("a")?.tolist()).toEqual([1, 2]);
  expect(left.every((name) => fs.existsSync(name))).toBe(true);
  for (const name of left) fs.rmSync(name);
});

describe("SafetensorsFile", () => {
  it("closes, and tensors made from it stay", () => {
    fs.writeFileSync(at("close"), fileBytes(`{${entry("a", "U8", "2", "0,2")}}`, Buffer.from([3, 4])));
    const file = SafetensorsFile.open(at("close"));
    const a = file.tensor("a");
    file.close();
    file.close();
    expect(bytesOf(a)).toEqual([3, 4]);
    expect(() => file.tensor("a")).toThrow(UserError);
    expect(() => file.tensor("a")).toThrow(/was closed/);
  });

  it("is not taken for a tensor, nor a tensor for it", () => {
    const [file] = native().safetensorsOpen(at("close"));
    expect(() => native().tensorShape(file as never)).toThrow(/must be a Tensor/);
    const handle = fromBytes(new ArrayBuffer(1), [1], "uint8")._handle;
    expect(() => native().safetensorsClose(handle as never)).toThrow(/open safetensors file/);
    expect(() => native().getRngState(file as never)).toThrow(/must be a Generator/);
    expect(() => native().startTransfer(file as never, [], [])).toThrow(/must be a stream/);
    expect(() => native().followTransfer(file as never)).toThrow(/must be an event/);
    expect(() => native().replayGraph(file as never)).toThrow(/must be a graph that was not freed/);
  });
});

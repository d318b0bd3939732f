// Every rule of the safetensors format, broken once, and the files at the edge of each rule that must be taken.
import fs from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { SafetensorsFile } from "../../lib/torch/safetensors.js";
import { entry, fileBytes, temporaryFolder } from "./safetensors-bytes.js";

const folder = temporaryFolder();
afterAll(() => fs.rmSync(folder, { recursive: true }));

let count = 0;
function written(bytes: Buffer): string {
  const file = path.join(folder, `${count++}.safetensors`);
  fs.writeFileSync(file, bytes);
  return file;
}

function refusal(bytes: Buffer): string {
  const file = written(bytes);
  try {
    SafetensorsFile.open(file);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const message = (error as Error).message;
    expect(message).toMatch(/^[^\n]+$/);
    expect(message.startsWith(`${file}: not a valid safetensors file: `)).toBe(true);
    return message.slice(file.length);
  }
  throw new Error("the file was taken");
}

const i32 = (name: string, shape: string, offsets: string): string => entry(name, "I32", shape, offsets);
const test22 = i32("test", "2,2", "0,16");

describe("a file is refused", () => {
  const cases: [rule: string, bytes: Buffer, message: RegExp][] = [
    ["empty", Buffer.alloc(0), /has 0 bytes, too few/],
    ["shorter than the length field", Buffer.alloc(7), /has 7 bytes, too few/],
    ["nothing after the length field", fileBytes("", 0, 60n), /length, 60, exceeds the file's 8 bytes/],
    ["header's length above the limit", fileBytes("{}", 0, 0xffffffff_ff00003cn), /exceeds 100,000,000/],
    [
      "header's length one above the limit",
      fileBytes("{}", 0, 100_000_001n),
      /100000001, exceeds 100,000,000/,
    ],
    ["header's length past the file's end", fileBytes("{}", 0, 3n), /length, 3, exceeds the file's 10 bytes/],
    [
      "header's length at the limit, past the end",
      fileBytes("{}", 0, 100_000_000n),
      /exceeds the file's 10 bytes/,
    ],
    ["a Git LFS pointer", Buffer.from("version https://git-lfs.github.com/spec/v1\n"), /git lfs pull/],
    ["no UTF-8", fileBytes(Buffer.from([0xff])), /not UTF-8/],
    ["overlong UTF-8", fileBytes(Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22])), /not UTF-8/],
    ["an encoded surrogate", fileBytes(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), /not UTF-8/],
    ["above U+10FFFF", fileBytes(Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22])), /not UTF-8/],
    ["a header of no bytes", fileBytes(""), /expected '\{' at byte 0/],
    ["an unfinished object", fileBytes("{"), /expected a string at byte 1/],
    ["an array", fileBytes("[]"), /expected '\{'/],
    ["a byte order mark", fileBytes("\ufeff{}"), /expected '\{'/],
    ["text after the object", fileBytes("{}x"), /after the closing brace/],
    ["NUL as padding", fileBytes("{}\0\0"), /after the closing brace/],
    ["a second object", fileBytes("{}{}"), /after the closing brace/],
    ["a trailing comma", fileBytes(`{${test22},}`, 16), /expected a string/],
    ["a control character in a name", fileBytes(`{"a\n":0}`), /control character/],
    ["an unknown escape", fileBytes(`{"\\x":0}`), /unknown escape/],
    ["half a surrogate pair", fileBytes(`{"\\ud800":0}`), /surrogate/],
    ["the wrong half of a pair", fileBytes(`{"\\udc00":0}`), /surrogate/],
    ["too few hexadecimal digits", fileBytes(`{"\\u12":0}`), /hexadecimal/],
    ["a tensor that is no object", fileBytes(`{"a":1}`), /expected '\{'/],
    ["metadata that is no object", fileBytes(`{"__metadata__":null}`), /expected '\{'/],
    ["metadata that is no text", fileBytes(`{"__metadata__":{"a":1}}`), /expected a string/],
    ["metadata twice", fileBytes(`{"__metadata__":{},"__metadata__":{}}`), /"__metadata__" appears twice/],
    [
      "a metadata key twice",
      fileBytes(`{"__metadata__":{"a":"1","a":"2"}}`),
      /metadata key "a" appears twice/,
    ],
    [
      "a name twice",
      fileBytes(`{${i32("a", "0", "0,0")},${i32("a", "0", "0,0")}}`),
      /tensor "a" appears twice/,
    ],
    [
      "a name twice, once escaped",
      fileBytes(`{${i32("a", "0", "0,0")},${i32("a", "0", "0,0").replace("a", "\\u0061")}}`),
      /tensor "a" appears twice/,
    ],
    [
      "a field twice",
      fileBytes(`{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1),
      /the key "dtype" twice/,
    ],
    [
      "an unknown field twice",
      fileBytes(`{"a":{"x":1,"x":1,"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1),
      /the key "x" twice/,
    ],
    ["no dtype", fileBytes(`{"a":{"shape":[],"data_offsets":[0,1]}}`, 1), /tensor "a" has no dtype/],
    ["no shape", fileBytes(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1), /tensor "a" has no shape/],
    ["no data_offsets", fileBytes(`{"a":{"dtype":"U8","shape":[1]}}`, 1), /tensor "a" has no data_offsets/],
    ["an unknown dtype", fileBytes(`{${entry("a", "F31", "", "0,4")}}`, 4), /unknown dtype "F31"/],
    ["one offset", fileBytes(`{${i32("a", "1", "4")}}`, 4), /two data_offsets/],
    ["three offsets", fileBytes(`{${i32("a", "1", "0,4,4")}}`, 4), /two data_offsets/],
    ["a negative size", fileBytes(`{${i32("a", "-1", "0,4")}}`, 4), /not negative/],
    ["a fraction", fileBytes(`{${i32("a", "1.0", "0,4")}}`, 4), /fraction or exponent/],
    ["an exponent", fileBytes(`{${i32("a", "1e0", "0,4")}}`, 4), /fraction or exponent/],
    ["a leading zero", fileBytes(`{${i32("a", "01", "0,4")}}`, 4), /leading zero/],
    ["an integer above 64 bits", fileBytes(`{${i32("a", "18446744073709551616", "0,4")}}`, 4), /above 2\^64/],
    ["an offset above 64 bits", fileBytes(`{${i32("a", "1", "0,99999999999999999999")}}`, 4), /above 2\^64/],
    ["a hole before the first tensor", fileBytes(`{${i32("a", "1", "4,8")}}`, 8), /end at 0: .*holes/],
    [
      "a hole between tensors",
      fileBytes(`{${i32("a", "1", "0,4")},${i32("b", "1", "8,12")}}`, 12),
      /end at 4/,
    ],
    ["an overlap", fileBytes(`{${i32("a", "2", "0,8")},${i32("b", "1", "4,8")}}`, 8), /tensor "b".*end at 8/],
    [
      "ten tensors on the same bytes",
      fileBytes(`{${Array.from({ length: 10 }, (_, i) => i32(`t${i}`, "2,2", "0,16")).join()}}`, 16),
      /end at 16: .*overlaps/,
    ],
    [
      "an end before its begin",
      fileBytes(`{${i32("a", "1", "0,4")},${i32("b", "0", "4,0")}}`, 4),
      /end before they begin/,
    ],
    [
      "fewer bytes than the shape",
      fileBytes(`{${i32("test", "2,2", "0,4")}}`, 16),
      /4 bytes .* 16 by its dtype/,
    ],
    [
      "more bytes than the shape",
      fileBytes(`{${i32("test", "2", "0,16")}}`, 16),
      /16 bytes .* 8 by its dtype/,
    ],
    [
      "too many elements",
      fileBytes(`{${i32("test", "2,18446744073709551614", "0,16")}}`, 16),
      /not fit in 64 bits/,
    ],
    [
      "too many bits",
      fileBytes(`{${i32("test", "2,9223372036854775807", "0,16")}}`, 16),
      /not fit in 64 bits/,
    ],
    [
      "an overflow before a zero",
      fileBytes(`{${i32("a", "9223372036854775808,2,0", "0,0")}}`),
      /not fit in 64 bits/,
    ],
    ["F4 that ends inside a byte", fileBytes(`{${entry("a", "F4", "3", "0,2")}}`, 2), /inside a byte/],
    ["F6 that ends inside a byte", fileBytes(`{${entry("a", "F6_E2M3", "2", "0,2")}}`, 2), /inside a byte/],
    ["bytes after the last tensor", fileBytes(`{${test22}}`, 18), /2 bytes that belong to no tensor/],
    ["bytes without a tensor", fileBytes("{}", 1), /1 bytes that belong to no tensor/],
    ["two bytes too few", fileBytes(`{${test22}}`, 14), /truncated: its tensors need 16 bytes .* has 14/],
    ["nesting without end", fileBytes(`{"a":{"x":${"[".repeat(100_000)}`), /nested too deep/],
  ];
  it.each(cases)("%s", (_, bytes, message) => expect(refusal(bytes)).toMatch(message));

  it("where the message would run over lines, it does not", () => {
    expect(refusal(fileBytes(`{"a\\nb":{}}`))).toContain('tensor "a\\nb" has no dtype');
    expect(refusal(fileBytes(`{"${"é".repeat(500)}":{}}`)).length).toBeLessThan(300);
  });

  it.each([
    ["a missing file", "absent.safetensors", /absent\.safetensors: cannot open: No such file/],
    ["a folder", "", /cannot open: Is a directory/],
    ["a path with NUL", "a\0b", /NUL/],
  ])("%s", (_, name, message) =>
    expect(() => SafetensorsFile.open(path.join(folder, name))).toThrow(message),
  );
});

describe("a file is taken", () => {
  const names = (bytes: Buffer): readonly string[] => SafetensorsFile.open(written(bytes)).names;

  it("with one tensor, its header unaligned", () => {
    const file = SafetensorsFile.open(written(fileBytes(`{${test22}}`, 16)));
    expect(file.names).toEqual(["test"]);
    expect(file.info("test")).toEqual({ dtype: "int32", shape: [2, 2], bytes: 16 });
    expect(() => file.info("nothing")).toThrow(/has no tensor "nothing"/);
    expect(() => file.tensor("nothing")).toThrow(/has no tensor "nothing"/);
  });

  it.each([
    ["no tensors", "{}"],
    ["white space after", "{}\r \t\n"],
    ["white space before", "\t\n{}\r "],
    ["metadata alone", `{"__metadata__":{"format":"pt"}}`],
  ])("%s", (_, header) => expect(names(fileBytes(header))).toEqual([]));

  it("of no elements or one", () => {
    expect(names(fileBytes(`{${i32("test", "2,0", "0,0")}}`))).toEqual(["test"]);
    expect(names(fileBytes(`{${i32("test", "", "0,4")}}`, 4))).toEqual(["test"]);
    expect(
      names(fileBytes(`{${i32("a", "1", "0,4")},${i32("z", "0", "4,4")},${i32("y", "0", "0,0")}}`, 4)),
    ).toEqual(["y", "a", "z"]);
  });

  it("with fields that it does not know", () => {
    const header = `{"a":{"x":[{"y":-1.5e+3},true,null,"\\u00e9"],"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`;
    expect(names(fileBytes(header, 1))).toEqual(["a"]);
  });

  it("with names of every kind", () => {
    const odd = ["", "__proto__", "constructor", "é\u{1f600}", 'quote"back\\slash', "nul\0", "a/../b"];
    const header = `{${odd.map((name, i) => entry(name, "U8", "1", `${i},${i + 1}`)).join()}}`;
    const file = SafetensorsFile.open(written(fileBytes(header, Buffer.from(odd.map((_, i) => i)))));
    expect(file.names).toEqual(odd);
    expect(odd.map((name) => [...new Uint8Array(file.tensor(name).toArray() as Uint8Array)])).toEqual(
      odd.map((_, i) => [i]),
    );
    expect(file.has("toString")).toBe(false);
  });

  it("with metadata that would be a prototype", () => {
    const file = SafetensorsFile.open(
      written(fileBytes(`{"__metadata__":{"__proto__":"x","é":"\\ud83d\\ude00"}}`)),
    );
    expect(Object.entries(file.metadata)).toEqual([
      ["__proto__", "x"],
      ["é", "\u{1f600}"],
    ]);
  });

  it("with a dtype that tensors cannot have, until that tensor is asked for", () => {
    const header = `{${entry("a", "U8", "1", "0,1")},${entry("b", "F8_E4M3", "2", "1,3")},${entry("c", "F4", "2", "3,4")}}`;
    const file = SafetensorsFile.open(written(fileBytes(header, 4)));
    expect(file.info("b").dtype).toBe("F8_E4M3");
    expect(file.tensor("a").shape).toEqual([1]);
    expect(() => file.tensor("b")).toThrow(/tensor "b" has dtype F8_E4M3, which is not supported/);
    expect(() => file.tensor("c")).toThrow(UserError);
  });

  it("with a shape that no tensor can have, until that tensor is asked for", () => {
    const file = SafetensorsFile.open(
      written(fileBytes(`{${entry("a", "U8", "0,18446744073709551615", "0,0")}}`)),
    );
    expect(() => file.tensor("a")).toThrow(/a shape that no tensor can have/);
    const deep = SafetensorsFile.open(
      written(fileBytes(`{${entry("a", "U8", Array(65).fill(1).join(), "0,1")}}`, 1)),
    );
    expect(() => deep.tensor("a")).toThrow(/more than 64 dimensions/);
  });
});

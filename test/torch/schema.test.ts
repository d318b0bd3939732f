// Every typed operator in lib/ says what libtorch's schema says. The check itself is checked with wrong lines.
import path from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { beforeAll, describe, expect, it } from "vitest";
import { distributedAddon } from "../../lib/distributed/addon.js";
import { camelCase } from "../../lib/torch/operators/operator.js";
import { checkLines, type Line } from "./schema-lines.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const wrongFile = path.join(root, "lib", "torch", "wrong-lines.ts"); // never on disk
const wrong: [line: string, complaint: RegExp][] = [
  ['op<(self: Tensor) => Tensor>("aten::no_such")', /no operator aten::no_such/],
  ['op<(x: Tensor) => Tensor>("aten::relu")', /argument 0 is 'x' here and 'self'/],
  [
    'op<(self: Tensor, dim1: number, dim0: number) => Tensor>("aten::transpose.int")',
    /'dim1' here and 'dim0'/,
  ],
  ['op<(self: Tensor, other: Tensor) => Tensor>("aten::relu")', /'other' is one argument too many/],
  ['op<() => Tensor>("aten::relu")', /'self' is required and missing/],
  ['op<(self: Tensor, dim: string) => Tensor>("aten::unsqueeze")', /'dim' is string here and int/],
  ['op<(self: Tensor, size: number) => Tensor>("aten::view")', /'size' is number here and List\[int\]/],
  ['op<(self: number) => Tensor>("aten::relu")', /'self' is number here and Tensor/],
  ['op<(self: Tensor, dtype: string) => Tensor>("aten::to.dtype")', /'dtype' is string here and ScalarType/],
  ['op<(tensors: (Tensor | null)[]) => Tensor>("aten::cat")', /here and List\[Tensor\]/],
  [
    'op<(self: Tensor, other: Tensor, alpha?: number) => Tensor>("aten::add.Tensor")',
    /'alpha' goes into the options/,
  ],
  ['op<(self: Tensor, options?: { keepDim?: boolean }) => Tensor>("aten::amax")', /no option 'keepDim'/],
  [
    'op<(self: Tensor, dim: number[], options?: { dim?: number[] }) => Tensor>("aten::amax")',
    /'dim' is given twice/,
  ],
  ['op<(self: Tensor, dim?: number) => Tensor>("aten::unsqueeze")', /'dim' may be left out here/],
  ['op<(self: Tensor, options?: { dim: number }) => Tensor>("aten::unsqueeze")', /options hold a required/],
  ['op<(self: Tensor) => boolean>("aten::relu")', /returns boolean here and Tensor/],
  [
    'op<(self: Tensor, dim: number) => Tensor>("aten::max.dim")',
    /returns Tensor here and \[Tensor, Tensor\]/,
  ],
  ['op<(self: Tensor, chunks: number) => Tensor>("aten::chunk")', /returns Tensor here and Tensor\[\]/],
  ['op("aten::relu")', /has no type/],
];

let program: ts.Program;
beforeAll(() => {
  if (process.platform === "linux") distributedAddon(); // it has operators too
  const config = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile);
  const { options, fileNames } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const text = `import { op } from "./operator.js";\nimport type { Tensor } from "./tensor.js";\n${wrong.map(([line]) => `${line};`).join("\n")}\n`;
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (file) => file === wrongFile || fileExists(file);
  host.readFile = (file) => (file === wrongFile ? text : readFile(file));
  host.getSourceFile = (file, version, ...rest) =>
    file === wrongFile
      ? ts.createSourceFile(file, text, version, true)
      : getSourceFile(file, version, ...rest);
  program = ts.createProgram([...fileNames, wrongFile], options, host);
});

function linesOf(file: ts.SourceFile): Line[] {
  return checkLines(program, file);
}

describe("typed operators", () => {
  it("agree with their schemas, line by line", () => {
    const files = program
      .getSourceFiles()
      .filter(({ fileName }) => fileName.startsWith(path.join(root, "lib")) && fileName !== wrongFile);
    const lines = files.flatMap(linesOf);
    const bad = lines
      .filter(({ complaints }) => complaints.length > 0)
      .map(({ operator, complaints }) => `${operator}: ${complaints.join("; ")}`);
    expect(bad).toEqual([]);
    expect(lines.length).toBeGreaterThan(150);
  });

  it("that do not agree are told of", () => {
    const lines = linesOf(program.getSourceFile(wrongFile) as ts.SourceFile);
    expect(lines).toHaveLength(wrong.length);
    for (const [index, [line, complaint]] of wrong.entries()) {
      expect((lines[index] as Line).complaints.join("; "), line).toMatch(complaint);
    }
  });
});

it("camelCase leaves what has no word boundary", () => {
  expect(
    ["keepdim", "start_dim", "dim0", "vec2", "mat_1", "enable_gqa", "_x", "self_"].map(camelCase),
  ).toEqual(["keepdim", "startDim", "dim0", "vec2", "mat1", "enableGqa", "_x", "self_"]);
});

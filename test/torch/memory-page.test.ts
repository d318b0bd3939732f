// The examples of docs/memory.md run, and print what the page says.
import { readFileSync, rmSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildProgram } from "../cli/program.js";
import { runTorch } from "./processes.js";

const page = readFileSync(new URL("../../docs/memory.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code as string);

let program: string;
beforeAll(async () => {
  program = await buildProgram();
});
afterAll(() => rmSync(program, { recursive: true }));

it.each([
  [0, /^[\d.]+ 2\n-?[\d.e-]+ 2\n[\d.]+\n\[ 1000 \]\nDisposedError\n$/],
  [1, /^$/],
  [2, /^0 1\n1 2\n2 3\n$/],
])("example %i", async (index, expected) => {
  const code = (examples[index] as string).replace(/^import (\{.*\}) from "qwen-pt";$/m, "const $1 = torch;");
  expect(code).toContain("= torch;");
  const { code: status, out, err } = await runTorch(program, code);
  expect(err).toBe("");
  expect(status).toBe(0);
  expect(out).toMatch(expected);
});

it("has as many examples as are run here", () => {
  expect(examples).toHaveLength(3);
});

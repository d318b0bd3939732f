// `qwen-pt eval` on the embedded model: the table, the comparison, the file of figures, and its mistakes.
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { dispatch } from "../../../lib/cli/dispatch.js";
import { FakeHost } from "../program.js";

const examples = fileURLToPath(new URL("../../../examples", import.meta.url));
const model = path.join(examples, "model");
const dir = path.join(examples, "data");
const scratch = mkdtempSync(path.join(tmpdir(), "qwen-pt-eval-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function evaluate(...args: string[]): Promise<{ code: number; text: string; errors: string }> {
  const host = new FakeHost();
  const code = await dispatch(["eval", ...args], host);
  return { code, text: host.text, errors: host.errors };
}

const row = (text: string, start: RegExp) => text.split("\n").find((line) => start.test(line));

it("a line a domain; the model knows poetry better than prose", async () => {
  const { code, text, errors } = await evaluate(
    ...["--model", model, "--dataset-dir", dir, "--data", "poetry_heldout,prose_heldout"],
    ...["--documents", "6", "--length", "256"],
  );
  expect([code, errors]).toEqual([0, ""]);
  expect(text).toMatch(/^data +documents +tokens +loss +perplexity +bits\/char +accuracy\n/);
  const bits = ["poetry", "prose"].map((name) =>
    Number(/(\d+\.\d{3}) +[\d.]+ %$/.exec(row(text, new RegExp(`^${name}_heldout +6 `)) ?? "")?.[1]),
  );
  expect(bits[0]).toBeLessThan(bits[1] as number);
});

it("compares with the model before, and keeps the figures; data may be a file", async () => {
  const file = path.join(scratch, "poems.jsonl");
  const output = path.join(scratch, "figures.json");
  copyFileSync(path.join(dir, "poetry-heldout.jsonl"), file);
  const { code, text } = await evaluate(
    ...["--model", model, "--before", model, "--data", file, "--documents", "3", "--output", output],
  );
  expect(code).toBe(0);
  expect(row(text, /after/)).toMatch(/perplexity \+0\.0 %$/);
  const figures = JSON.parse(readFileSync(output, "utf8")) as {
    model: string;
    score: { documents: number };
  }[];
  expect(figures.map(({ model: name, score }) => [name, score.documents])).toEqual([
    ["before", 3],
    ["after", 3],
  ]);
});

it.each([
  [[], /^error: eval needs a model and data: .*--data NAME/],
  [["recipe.yaml"], /^error: eval: recipe\.yaml: write --model DIR and --data NAMES; /],
  [
    ["--model", model, "--data", "nothing", "--dataset-dir", dir],
    /^error: dataset: nothing is not defined in .*/,
  ],
  [
    ["--model", model, "--data", "prose", "--length", "half"],
    /^error: eval: --length must be a whole number/,
  ],
])("a mistake is one line: %j", async (args, line) => {
  const { code, errors } = await evaluate(...(args as string[]));
  expect(code).toBe(1);
  expect(errors).toMatch(line);
  expect(errors.trimEnd()).not.toContain("\n");
});

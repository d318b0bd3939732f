// Every block of code in README, CONTRIBUTING.md and docs/ is run, or says beside it why not. The quick ones run here; those
// that train a small model in `npm run test:docs`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRecipe } from "../../lib/config/index.js";
import { buildProgram } from "../cli/program.js";
import { runTorch } from "../torch/processes.js";
import { allBlocks, blocksBy, counts, placeOf, wayOf } from "./account.js";
import { type Block, blocksOf } from "./pages.js";
import { makeSandbox, runThere } from "./sandbox.js";

const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-blocks-"));
let program: string;
let sandbox: string;
beforeAll(async () => {
  program = await buildProgram();
  sandbox = makeSandbox(program);
});
afterAll(() => {
  for (const made of [folder, program, sandbox]) rmSync(made, { recursive: true, force: true });
});

const cases = (way: Parameters<typeof blocksBy>[0]) =>
  blocksBy(way).map((block): [string, Block] => [placeOf(block), block]);

describe("every block", () => {
  it("is run, or says why not", () => {
    console.log(counts());
    expect(
      allBlocks()
        .filter((block) => wayOf(block) === undefined)
        .map((block) => `${placeOf(block)}: ${block.language}: give a reason, "Not run here: ..."`),
    ).toEqual([]);
  });

  it("in another language is found by its reason or not at all", () => {
    const page = "docs/x.md";
    const [first, second] = blocksOf(
      page,
      "```rust\nfn x() {}\n```\n\nText.\n\n    code\n\nNot run here: rust.\n",
    );
    expect(wayOf(first as Block)).toBeUndefined();
    expect(second?.reason).toBe("rust.");
  });
});

describe("the recipe", () => {
  /** Keys that go with those of a block where it shows a few of a recipe. */
  const base =
    blocksOf("docs/walk-through.md").find(({ code }) => code.includes("model_name_or_path"))?.code ?? "";
  const keys = (code: string) => [...code.matchAll(/^(\w+):/gm)].map(([, key]) => key as string);

  it.each(cases("recipe"))("of %s is read without a complaint", (_, { code }) => {
    const own = keys(code);
    const rest = base.split("\n").filter((line) => !own.includes(/^(\w+):/.exec(line)?.[1] ?? ""));
    // upcast_layernorm and the methods leave nothing else of the base recipe to contradict
    const file = path.join(folder, "recipe.yaml");
    writeFileSync(file, `${rest.join("\n")}\n${code}`);
    const { recipe, notes } = loadRecipe(file, [], { env: {} });
    expect(notes).toEqual([]);
    for (const key of own) expect(recipe).toHaveProperty(key);
  });
});

describe("JSON", () => {
  it.each(cases("json"))("of %s can be parsed", (_, { code }) => {
    const texts = code.startsWith("{\n") ? [code] : code.trim().split("\n");
    expect(texts.map((text) => typeof JSON.parse(text))).toEqual(texts.map(() => "object"));
  });
});

describe("the script", () => {
  const scripts = cases("script").filter(([place]) => !place.startsWith("docs/memory.md")); // memory-page.test.ts

  it.each(scripts)("of %s runs", async (_, { code }) => {
    const body = code.replace(/^import (\{.*\}) from "qwen-pt";$/m, "const $1 = torch;");
    const { code: status, err } = await runTorch(program, body);
    expect(err).toBe("");
    expect(status).toBe(0);
  });
});

describe("the commands", () => {
  it.each(cases("quick commands"))("of %s run", async (_, { code }) => {
    const { code: status, err } = await runThere(sandbox, code);
    expect(err.replace(/^.*warning.*$/gm, "").trim()).toBe("");
    expect(status).toBe(0);
  });
});

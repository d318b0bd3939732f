// What README and docs/ show of commands that train and of programs: as they are written, in the order of each page, on a
// small model and for one step. `npm run test:docs` runs this, and `npm run test:clients` too.
import { existsSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { transformWithOxc } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildProgram } from "../cli/program.js";
import { blocksBy, counts, placeOf } from "./account.js";
import { type Block, pages, root } from "./pages.js";
import { makeSandbox, runThere, SHORT_KEYS } from "./sandbox.js";

const SHORT = SHORT_KEYS.map((key) => JSON.stringify(key)).join(", ");

const reference = path.join(root, ".reference/bin/python");
const python = process.env["QWEN_PT_PYTHON"] ?? (existsSync(reference) ? reference : undefined);

let program: string;
let sandbox: string;
beforeAll(async () => {
  console.log(counts());
  program = await buildProgram();
});
afterAll(() => rmSync(program, { recursive: true, force: true }));

/** A page's commands build on each other: they run in its order, in one folder. */
const blocks = [...blocksBy("commands"), ...blocksBy("program")];
const byPage = pages().map((page): [string, Block[]] => [
  page,
  blocks.filter((block) => block.page === page).sort((a, b) => a.line - b.line),
]);

describe.each(byPage.filter(([, list]) => list.length > 0))("%s", (_page, list) => {
  beforeAll(() => {
    sandbox = makeSandbox(program, !list.some(({ code }) => code.includes("init recipe.yaml")));
  });
  afterAll(() => rmSync(sandbox, { recursive: true, force: true }));

  it.each(list.map((block): [string, Block] => [placeOf(block), block]))("%s", async (_place, block) => {
    if (/\btorchrun\b/.test(block.code) && python === undefined) return;
    const text = block.language === "ts" ? await programText(block) : block.code;
    const { code, out, err } = await runThere(
      sandbox,
      text,
      python === undefined ? {} : { QWEN_PT_PYTHON: python },
    );
    expect(`${code}\n${code === 0 ? "" : out + err}`).toBe("0\n");
  });
});

/** A program as JavaScript, its training one step long, and the command that runs it. */
async function programText({ code }: Block): Promise<string> {
  const short = code
    .replace(/overrides: \[.*?\]/, (given) => given.replace("]", `, ${SHORT}]`))
    .replace("{ trackers:", `{ overrides: [${SHORT}], trackers:`);
  const { code: script } = await transformWithOxc(short, "program.ts", { sourcemap: false });
  writeFileSync(path.join(sandbox, "program.mjs"), script);
  return "node program.mjs";
}

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a recipe's own interpolations
// Recipes that ask for more than they hold: merges and interpolations that multiply, each refused at once; secrets that
// are never shown; and the home folder in paths.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describe as describeError } from "../../lib/cli/dispatch.js";
import { loadRecipe, resolveRecipe } from "../../lib/config/index.js";
import { UserError } from "../../lib/errors.js";

const BASE = "model_name_or_path: model\nstage: pt\ndo_train: true\ndataset: data1\n";
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "qwen-pt-limits-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function mistake(lines: string, overrides: string[] = []): string {
  const file = join(folder, "recipe.yaml");
  writeFileSync(file, BASE + lines);
  try {
    loadRecipe(file, overrides, { env: { HOME: "/users/someone" } });
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).not.toContain("\n");
    return (error as Error).message;
  }
  throw new Error("it was read");
}

/** `a0`, and levels of nine that refer to the one below. */
function levels(first: string, next: (below: string) => string, count = 12): string {
  const lines = Array.from({ length: count }, (_, i) => `a${i + 1}: &a${i + 1} ${next(`a${i}`)}`);
  return [`a0: &a0 ${first}`, ...lines, ""].join("\n");
}

describe("what multiplies is refused before it has", () => {
  const nine = (text: string): string => Array(9).fill(text).join(",");
  it.each([
    ["merges of nothing", levels("{}", (below) => `{<<: [${nine(`*${below}`)}]}`)],
    ["merges of a value", levels("{x: 1}", (below) => `{<<: [${nine(`*${below}`)}]}`)],
    ["merges one in the other", levels("{}", (below) => `{<<: {<<: [${nine(`*${below}`)}]}}`)],
    ["lists of lists", levels("[1]", (below) => `[${nine(`*${below}`)}]`)],
    [
      "mappings of mappings",
      levels("{x: 1}", (below) => `{${Array.from({ length: 9 }, (_, i) => `k${i}: *${below}`).join(", ")}}`),
    ],
  ])("%s", (_, lines) => {
    const start = process.cpuUsage();
    expect(mistake(lines)).toMatch(/more than 10000 values/);
    expect(process.cpuUsage(start).user).toBeLessThan(3e6); // microseconds
  });

  it.each([
    ["text", levels("xxxxxxxxxx", (below) => `"${`\${${below}}`.repeat(9)}"`)],
    ["text of an environment variable", levels("${oc.env:HOME}", (below) => `"${`\${${below}}`.repeat(9)}"`)],
    ["lists", levels("[1, 2, 3]", (below) => `["${Array(9).fill(`\${${below}}`).join('", "')}"]`)],
    [
      "mappings",
      levels(
        "{x: 1}",
        (below) => `{${Array.from({ length: 9 }, (_, i) => `k${i}: "\${${below}}"`).join(", ")}}`,
      ),
    ],
  ])("interpolations of %s", (_, lines) => {
    const start = process.cpuUsage();
    expect(mistake(lines)).toMatch(/interpolations of this recipe produce more than 1000000 characters/);
    expect(process.cpuUsage(start).user).toBeLessThan(3e6); // microseconds
  });

  it("what a recipe needs passes", () => {
    const file = join(folder, "fine.yaml");
    const text = "common: &common {x: 1}\n";
    writeFileSync(
      file,
      `${BASE}name: run\noutput_dir: saves/\${name}/\${seed}\nseed: 7\n${text}other: {<<: *common}\n`,
    );
    const { recipe } = loadRecipe(file, [], { env: { ALLOW_EXTRA_ARGS: "1" } });
    expect(recipe.output_dir).toBe("saves/run/7");
  });
});

describe("a secret's value is in no message", () => {
  const SECRET = "hf_abcdefghijklmnopqrstuvwxyz";
  it.each([
    [`hf_hub_token=[${SECRET}]`],
    [`hf_hub_token={a: ${SECRET}}`],
    [`hf_hub_token="${SECRET}`],
    [`hf_hub_token='${SECRET}`],
    [`hf_hub_token=*${SECRET}`],
    [`hf_hub_token=!${SECRET} x`],
    [`hf_hub_token=: ${SECRET}: :`],
    [`hf_hub_token.x=${SECRET}`],
    [`hf_hub_token:${SECRET}`],
    [`hf_hub_token = ${SECRET}`],
    [`--hf_hub_token=${SECRET}`],
    [`hf_token=${SECRET}`],
    [`HF_TOKEN=${SECRET}`],
    [`ms_hub_token=[${SECRET}]`],
    [`wandb_api_key=[${SECRET}]`],
    [`hf_hub_token=\${${SECRET}`],
  ])("%s", (override) => {
    const message = mistake("", [override]);
    expect(message).not.toContain("abcdef");
    expect(message).toMatch(/token|api_key/i);
  });

  it.each([`hf_hub_token: *${SECRET}\n`, `hf_hub_token: !${SECRET} x\n`, `hf_hub_token: [${SECRET}]\n`])(
    "%j",
    (lines) => {
      expect(mistake(lines)).not.toContain("abcdef");
    },
  );

  it("nor is anything that looks like one, wherever it comes from", () => {
    expect(describeError(new UserError(`no file ${SECRET}`), {})).toBe("error: no file hf_...");
  });
});

describe("~ in a path", () => {
  const env = { HOME: "/users/someone" };
  const input = { model_name_or_path: "model", dataset: "data1" };
  it.each([
    ["output_dir", "~/saves", "/users/someone/saves"],
    ["output_dir", "~", "/users/someone"],
    ["model_name_or_path", "~/models/a", "/users/someone/models/a"],
    ["dataset_dir", "~/data", "/users/someone/data"],
    ["cache_dir", "~/cache", "/users/someone/cache"],
    ["tokenized_path", "~/tokens", "/users/someone/tokens"],
    ["resume_from_checkpoint", "~/saves/checkpoint-1", "/users/someone/saves/checkpoint-1"],
    ["output_dir", "a/~/b", "a/~/b"],
    ["output_dir", "~other/x", "~other/x"],
    ["output_dir", "x~", "x~"],
  ] as const)("%s: %s is %s", (key, given, expected) => {
    const { recipe } = resolveRecipe({ ...input, [key]: given }, { env });
    expect((recipe as unknown as Record<string, unknown>)[key]).toBe(expected);
  });

  it("in each of several adapters, and from a file", () => {
    const { recipe } = resolveRecipe({ ...input, adapter_name_or_path: "~/a,~/b" }, { env });
    expect(recipe.adapter_name_or_path).toEqual(["/users/someone/a", "/users/someone/b"]);
  });
});

// The binary as a user meets it: real processes, their exit codes, and that nothing heavy is loaded for a version.
import { rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArguments, shellQuoted } from "../../lib/cli/terminal/arguments.js";
import packageJson from "../../package.json" with { type: "json" };
import { buildProgram, runNode, runProgram } from "./program.js";

const { version } = packageJson;
let bare: string;
let whole: string;
beforeAll(async () => {
  // without node_modules and without the binding: what works here depends on neither
  bare = await buildProgram({ bare: true, without: ["torch", "train", "qwen3", "nn", "peft", "optim"] });
  whole = await buildProgram();
});
afterAll(() => {
  for (const program of [bare, whole]) rmSync(program, { recursive: true, force: true });
});

describe("version", () => {
  it.each([["version"], ["--version"], ["-v"]])("%s", async (argument) => {
    expect(await runProgram(bare, [argument])).toMatchObject({
      code: 0,
      out: `qwen-pt ${version}\n`,
      err: "",
    });
  });

  it("answers at once: at most 0.1 seconds after node itself, which takes about 0.05", async () => {
    const own: number[] = [];
    const node: number[] = [];
    // the best of several, and node's share apart: other work on the machine only ever adds
    for (let i = 0; i < 7; i++) {
      own.push((await runProgram(whole, ["version"])).milliseconds);
      node.push((await runNode(["-e", "0"])).milliseconds);
    }
    expect(Math.min(...own) - Math.min(...node)).toBeLessThan(100);
  }, 30_000);
});

describe("a Node that is too old", () => {
  it("is named, with the one that is needed, before anything is loaded", async () => {
    const pretend =
      'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "18.20.4" } })';
    const { code, out, err } = await runNode([
      "--import",
      `data:text/javascript,${encodeURIComponent(pretend)}`,
      path.join(bare, "dist/cli/main.js"),
      "version",
    ]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(
      /^error: qwen-pt needs Node 20\.19 or later, and this is 18\.20\.4 \(.*\); install .*\n$/,
    );
  });
});

describe("help", () => {
  it("lists every command", async () => {
    const { code, out } = await runProgram(bare, ["help"]);
    expect(code).toBe(0);
    for (const name of ["train", "export", "chat", "env", "version", "help"])
      expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  it.each([[["help", "train"]], [["train", "--help"]], [["train", "-h"]]])("%s", async (args) => {
    expect(await runProgram(bare, args)).toMatchObject({
      code: 0,
      out: expect.stringContaining("qwen-pt train RECIPE"),
    });
  });

  it("explains a key", async () => {
    const { code, out } = await runProgram(whole, ["help", "cutoff_len"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^cutoff_len\n/);
    expect(out).toMatch(/default: 2048/);
  });

  it("names the nearest key", async () => {
    const { code, err } = await runProgram(whole, ["help", "cutof_len"]);
    expect([code, err]).toEqual([
      1,
      "error: no command or recipe key cutof_len; did you mean `qwen-pt help cutoff_len`?\n",
    ]);
  });

  it.each([
    ["lora", ["  lora_rank ", "  lora_alpha ", "  use_rslora "]],
    ["checkpoints", ["  resume_from_checkpoint "]],
    ["data", ["  data_seed "]],
    ["estim", ["  qwen-pt estimate "]],
    ["--help", ["qwen-pt help [COMMAND"]],
  ])("of another word lists what has to do with it: %s", async (word, expected) => {
    const { code, out } = await runProgram(whole, ["help", word]);
    expect(code).toBe(0);
    for (const line of expected) expect(out).toContain(line);
  });

  it.each([
    ["webui", /no web interface/],
    ["qqqq", /no command or recipe key qqqq; `qwen-pt help` lists the commands/],
  ])("guesses no word that is far away: %s", async (word, message) => {
    const { code, err } = await runProgram(whole, ["help", word]);
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });
});

describe("mistakes are one line and exit 1", () => {
  it.each([
    [["trian", "recipe.yaml"], /^error: unknown command trian; did you mean `qwen-pt train`\?.*\n$/],
    [["est", "recipe.yaml"], /^error: unknown command est; did you mean `qwen-pt estimate`\?.*\n$/],
    [["webui"], /^error: unknown command webui; qwen-pt has no web interface: .*`qwen-pt init`.*\n$/],
    [["qqqq"], /^error: unknown command qqqq; qwen-pt help lists them all\n$/],
    [["constructor"], /^error: unknown command constructor; .*\n$/],
    [["train"], /^error: train needs a recipe: qwen-pt train recipe\.yaml\n$/],
    [
      ["train", "recipe.yaml", "again.yaml"],
      /^error: train: again\.yaml is neither the recipe nor key=value; .*\n$/,
    ],
    [
      ["train", "--lr", "1"],
      /^error: train has no option --lr: it has --json; a recipe's key is written lr=value, after the recipe\n$/,
    ],
    [["export"], /^error: export needs a recipe/],
    [["chat"], /^error: chat needs a model: .*--model DIR.*\n$/],
    [
      ["chat", "--modle", "x"],
      /^error: chat has no option --modle: it has --model, --adapter, --prompt; a recipe's key is written modle=value, after the recipe\n$/,
    ],
    [["chat", "--model"], /^error: chat: --model needs a value\n$/],
    [["help", "toString"], /^error: no command or recipe key toString; .*\n$/],
    [["help", "a", "b"], /^error: help takes one command or key: .*\n$/],
  ])("%j", async (args, message) => {
    const { code, out, err } = await runProgram(whole, args);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(message);
  });

  it("no command prints the usage on stderr", async () => {
    const { code, out, err } = await runProgram(bare, []);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("usage: qwen-pt COMMAND");
  });

  it("an unexpected error says how to see its stack, and shows it then", async () => {
    // the binding was left out of this copy, so env fails in a way that no user causes
    const quiet = await runProgram(bare, ["env"]);
    expect(quiet.code).toBe(1);
    expect(quiet.err).toMatch(/^error: .*set QWEN_PT_DEBUG=1 for the stack trace\)\n$/);
    const loud = await runProgram(bare, ["env"], { QWEN_PT_DEBUG: "1" });
    expect(loud.err).toMatch(/\n {4}at /);
  });
});

describe("env", () => {
  it("works where the addon has not been built, and says so", async () => {
    const { code, out, err } = await runProgram(whole, ["env"], { QWEN_PT_ADDON: "" });
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`- \`qwen-pt\` version: ${version}\n`);
    expect(out).toContain(`- Node version: ${process.version.slice(1)}\n`);
    expect(out).toMatch(/^- libtorch version: none: the addon has not been built \(npx qwen-pt setup\)$/m);
    expect(out).toMatch(/^- Tokenizers version: \d+\.\d+\.\d+$/m);
    expect(out).toMatch(/^- Memory: .* GiB, /m);
    expect(out).toMatch(/^- Default data directory: not detected$/m);
    expect(out).not.toContain("Git commit");
  });
});

describe("arguments", () => {
  it("sorts recipe, overrides and options", () => {
    expect(readArguments("chat", ["a=1", "r.yaml", "b=x=y", "--prompt", "-5", "--model=m"])).toEqual({
      recipe: "r.yaml",
      overrides: ["a=1", "b=x=y"],
      options: { prompt: "-5", model: "m" },
      flags: new Set(),
    });
  });

  it("a recipe in a folder with an equals sign is a recipe", () => {
    expect(readArguments("train", ["runs=1/r.yaml", "a=b.yaml"])).toEqual({
      recipe: "runs=1/r.yaml",
      overrides: ["a=b.yaml"],
      options: {},
      flags: new Set(),
    });
  });

  it("a switch takes no value", () => {
    const found = readArguments("setup", ["--force", "--build", "cpu"]);
    expect([found.options, [...found.flags]]).toEqual([{ build: "cpu" }, ["force"]]);
    expect(() => readArguments("setup", ["--forc"])).toThrow("it has --build, --plan, --force");
  });

  it("quotes for a shell what needs it", () => {
    expect(["a.yaml", "my r.yaml", "it's", "lr=1e-4"].map(shellQuoted)).toEqual([
      "a.yaml",
      "'my r.yaml'",
      "'it'\\''s'",
      "lr=1e-4",
    ]);
  });
});

// Which part of lib/ may import which, and the few places that may touch the process. A new folder needs a line here.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const lib = fileURLToPath(new URL("../../lib", import.meta.url));

const below = {
  torch: [],
  nn: ["torch"],
  qwen3: ["torch", "nn"],
  peft: ["torch", "nn"],
  optim: ["torch", "nn"],
};
const leaves = ["errors", "json", "cache", "version", "whole-file", "file-lock", "yaml"];
const computing = ["torch", "nn", "qwen3", "peft", "optim"];
/** What each part may import, beside itself and the leaves that anyone may. */
const allowed: Record<string, readonly string[]> = {
  errors: [],
  json: [],
  version: [],
  cache: [],
  "whole-file": [],
  "file-lock": [],
  yaml: [],
  install: [],
  ...below,
  config: [],
  hub: ["config"],
  trackers: ["config"],
  data: ["config", ...computing],
  // data: what learns a vocabulary cuts text as the tokenizer does
  methods: ["config", "data", ...computing],
  train: ["config", "hub", "trackers", "data", "methods", "version", ...computing],
  init: ["config", "data"],
  doctor: ["install", "config", "data", "train", ...computing],
  cli: [
    "install",
    "init",
    "doctor",
    "config",
    "hub",
    "trackers",
    "data",
    "methods",
    "train",
    "version",
    "index",
    ...computing,
  ],
  index: ["config", "hub", "trackers", "data", "methods", "train", "version", ...computing],
};

interface Source {
  readonly name: string; // "train/step.ts"
  readonly code: string; // without comments
}

/** Comments blanked, strings kept: good enough for code that Biome has formatted. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

const sources: Source[] = readdirSync(lib, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({
    name: name.replaceAll("\\", "/"),
    code: withoutComments(readFileSync(path.join(lib, name), "utf8")),
  }));

const partOf = (name: string) => name.split("/")[0].replace(/\.ts$/, "");

function importsOf({ name, code }: Source): string[] {
  const found = code.matchAll(/(?:from|import|import\()\s*"(\.[^"]+)"|new URL\("(\.[^"]+\.js)"/g);
  return [...found].map((match) =>
    path.posix.join(path.posix.dirname(name), (match[1] ?? match[2]).replace(/\.js$/, ".ts")),
  );
}

/** Lines "train/step.ts -> cli/main.ts" for the arrows that `isWrong` names. */
function arrows(isWrong: (from: string, to: string) => boolean): string[] {
  return sources.flatMap((source) =>
    importsOf(source)
      .filter((target) => isWrong(source.name, target))
      .map((target) => `${source.name} -> ${target}`),
  );
}

/** Files outside `exempt` whose code matches. */
const filesWith = (pattern: RegExp, exempt: (name: string) => boolean) =>
  sources.filter(({ name, code }) => !exempt(name) && pattern.test(code)).map(({ name }) => name);

describe("import directions", () => {
  it("finds the sources and their imports", () => {
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.flatMap(importsOf).length).toBeGreaterThan(5);
  });

  it("knows every part of lib/", () => {
    expect(
      [...new Set(sources.map(({ name }) => partOf(name)))].filter((part) => !(part in allowed)),
    ).toEqual([]);
  });

  it("native <- torch <- nn <- {qwen3, peft, optim} <- {data, methods} <- train <- cli", () => {
    const wrong = (from: string, to: string) =>
      partOf(from) !== partOf(to) &&
      !leaves.includes(partOf(to)) &&
      !allowed[partOf(from)]?.includes(partOf(to));
    expect(arrows(wrong)).toEqual([]);
  });

  it("stays inside lib/", () => {
    expect(arrows((_, to) => to.startsWith(".."))).toEqual([]);
  });

  it("keeps the training step ignorant of the model", () => {
    const isStep = (name: string) => /^train\/(trainer|step)\.ts$/.test(name);
    expect(arrows((from, to) => isStep(from) && partOf(to) === "qwen3")).toEqual([]);
  });
});

describe("who may touch what", () => {
  it("only the command line has a console, arguments and an exit", () => {
    const pattern = /\bconsole\.|\bprocess\.(argv|exit\b|exitCode|stdout|stderr)/;
    expect(filesWith(pattern, (name) => name.startsWith("cli/"))).toEqual([]);
  });

  it("only lib/torch/native.ts loads the addon", () => {
    expect(filesWith(/qwen_pt\.node|\bdlopen\b/, (name) => name === "torch/native.ts")).toEqual([]);
  });

  it("only lib/data/tokenizer/text-addon.ts loads the addon that tokenizes", () => {
    expect(filesWith(/qwen_pt_text\.node/, (name) => name === "data/text-addon.ts")).toEqual([]);
  });

  it("index.ts only exports", () => {
    const index = sources.find(({ name }) => name === "index.ts");
    const rest = (index?.code ?? "").replace(
      /export\s+(type\s+)?(\*|\{[^}]*\})(\s+as\s+\w+)?\s+from\s+"[^"]+";/g,
      "",
    );
    expect(rest.trim()).toBe("");
  });
});

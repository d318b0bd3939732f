// Which part of lib/ may import which, and the few places that may touch the process. The layers are written down in
// scripts/checks/house-layers.mjs; a new folder needs a place there.
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  circlesOf,
  entriesOf,
  importsOf,
  namesOfCircle,
  sourcesOf,
  wrongArrows,
} from "../../scripts/checks/house.mjs";
import {
  isTensorCircle,
  mayImport,
  partOf,
  parts,
  roomOf,
  rooms,
} from "../../scripts/checks/house-layers.mjs";

interface Source {
  readonly name: string; // "train/run.ts"
  readonly code: string; // without comments
  readonly imports: readonly string[];
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const sources: readonly Source[] = sourcesOf(root);

/** Sources as they would be: a file's name and what it imports. */
const made = (files: Record<string, readonly string[]>): Source[] =>
  Object.entries(files).map(([name, imports]) => ({ name, code: "", imports }));

/** Lines "train/run.ts -> cli/main.ts" for the arrows that `isWrong` names. */
const arrows = (isWrong: (from: string, to: string) => boolean): string[] =>
  sources.flatMap(({ name, imports }) =>
    imports.filter((to) => isWrong(name, to)).map((to) => `${name} -> ${to}`),
  );

/** Files outside `exempt` whose code matches. */
const filesWith = (pattern: RegExp, exempt: (name: string) => boolean) =>
  sources.filter(({ name, code }) => !exempt(name) && pattern.test(code)).map(({ name }) => name);

describe("import directions", () => {
  it("finds the sources and their imports", () => {
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(5);
    const code =
      'import type { A } from "../a.js";\nawait import("./b.js");\nnew URL("./c.js", import.meta.url);';
    expect(importsOf("train/run.ts", code)).toEqual(["a.ts", "train/b.ts", "train/c.ts"]);
  });

  it("knows every part of lib/, and every room of a part that has them", () => {
    const names = sources.map(({ name }) => name);
    expect([...new Set(names.map(partOf))].filter((part) => !(part in parts))).toEqual([]);
    const list = rooms as Record<string, readonly string[]>;
    const lost = names.filter((name) => !(list[partOf(name)]?.includes(roomOf(name)) ?? true));
    expect(lost).toEqual([]);
  });

  it("has no place for what is not there", () => {
    const names = sources.map(({ name }) => name);
    const there = new Set([...names.map(partOf), ...names.map((name) => `${partOf(name)}/${roomOf(name)}`)]);
    const written = [
      ...Object.keys(parts),
      ...Object.entries(rooms).flatMap(([part, order]) => order.map((room) => `${part}/${room}`)),
    ];
    expect(written.filter((place) => !there.has(place))).toEqual([]);
  });

  it("goes one way between the parts, and between the rooms of a part", () => {
    expect(wrongArrows(sources)).toEqual([]);
  });

  it("would be missed between parts and between rooms", () => {
    const wrong = made({
      "torch/operators/ops.ts": ["nn/index.ts", "files/json.ts", "torch/tensor.ts"],
      "train/plan/plan.ts": ["train/loop/trainer.ts", "data/index.ts"],
      "train/loop/trainer.ts": ["train/plan/plan.ts", "train/garden/hedge.ts"],
    });
    expect(wrongArrows(wrong)).toEqual([
      "torch/operators/ops.ts -> nn/index.ts",
      "train/plan/plan.ts -> train/loop/trainer.ts",
      "train/loop/trainer.ts -> train/garden/hedge.ts",
    ]);
    expect(mayImport("errors.ts", "files/json.ts")).toBe(true); // a leaf: the circle would be found
  });

  it("has no circle but that of the types around Tensor", () => {
    const circles = circlesOf(sources).filter((circle: string[]) => !isTensorCircle(circle));
    expect(circles.map((circle: string[]) => namesOfCircle(circle, sources))).toEqual([]);
    expect(circlesOf(sources).filter(isTensorCircle)).toHaveLength(1);
  });

  it("would name the files of a circle", () => {
    const two = made({ "a.ts": ["b.ts"], "b.ts": ["a.ts"], "c.ts": ["a.ts"] });
    expect(circlesOf(two)).toEqual([["a.ts", "b.ts"]]);
    expect(namesOfCircle(["a.ts", "b.ts"], two)).toBe("a.ts <-> b.ts");
    const three = made({ "a.ts": ["b.ts"], "b.ts": ["c.ts"], "c.ts": ["a.ts"], "d.ts": ["d.ts"] });
    expect(circlesOf(three)).toEqual([["a.ts", "b.ts", "c.ts"], ["d.ts"]]);
  });

  it("stays inside lib/", () => {
    expect(arrows((_, to) => to.startsWith(".."))).toEqual([]);
  });

  it("keeps everything but models/ ignorant of the families", () => {
    const family = /^models\/families\/(?!all-families\.ts)/;
    const knows = (from: string, to: string) =>
      family.test(to) && !from.startsWith("models/families/") && from !== "models/index.ts";
    expect(arrows(knows)).toEqual([]);
    expect(knows("train/loop/trainer.ts", "models/families/qwen3/model.ts")).toBe(true);
    // by name: what models/index.ts passes on for programs is not for lib/ itself
    const exempt = (name: string) => name.startsWith("models/") || name === "index.ts";
    expect(
      filesWith(/\bQwen3(?:ForCausalLM|Config|Model|MLP|Attention|DecoderLayer)\b(?!")/, exempt),
    ).toEqual([]);
  });
});

describe("rooms", () => {
  it("show at most a dozen entries and a few", () => {
    // the layers of lib/ and their tests, and folders of one idea each
    const more = ["lib", "scripts", "test", "test/train"];
    const full = entriesOf(root).filter(([folder, entries]) => entries > 15 && !more.includes(folder));
    expect(full).toEqual([]);
  });

  it("say in their first line what lives there", () => {
    const indexes = sources.map(({ name }) => name).filter((name) => name.endsWith("/index.ts"));
    expect(indexes.length).toBeGreaterThan(10);
    const first = (name: string) => readFileSync(path.join(root, "lib", name), "utf8").split("\n")[0] ?? "";
    expect(indexes.filter((name) => !/^\/\/ \S.{20,}/.test(first(name)))).toEqual([]);
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
    expect(filesWith(/qwen_pt_text\.node/, (name) => name === "data/tokenizer/text-addon.ts")).toEqual([]);
  });

  it("only lib/distributed/addon.ts loads the addon of several processes", () => {
    expect(filesWith(/qwen_pt_distributed\.node/, (name) => name === "distributed/addon.ts")).toEqual([]);
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

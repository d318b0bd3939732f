// The declarations under the compilers that users have: TypeScript 5.0.4 with Node10 resolution is tslab's.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { installed, root } from "./room.js";

const USE = `import { addLora, AdamW, decayGroups, loadModel, readConfig, Tensor, tensor, train } from "qwen-pt";
import type { LoraConfig, Recipe, RecipeInput, TrainEvent, TrainResult } from "qwen-pt";
import { type DType, eye } from "qwen-pt/torch";
import { Linear, Module } from "qwen-pt/nn";
import { LoraLinear } from "qwen-pt/peft";
import { PlateauSchedule } from "qwen-pt/optim";
import { collate } from "qwen-pt/data";
import type { TrainingMethod } from "qwen-pt/methods";

const steps: number[] = [];
const onEvent = (event: TrainEvent): void => {
  if (event.type === "step") steps.push(event.loss);
};
const recipe: RecipeInput = { model_name_or_path: "m", stage: "pt", do_train: true, output_dir: "o", dataset: "d" };
export const result: Promise<TrainResult> = train(recipe, { onEvent, signal: new AbortController().signal });
export const lora: LoraConfig = { rank: 8, targets: ["q_proj"] };
export function build(dir: string): AdamW {
  const model = loadModel(dir, readConfig(dir));
  addLora(model, lora);
  return new AdamW(decayGroups(model.namedParameters(), 0), { learningRate: 1e-4 });
}
export const sum: Tensor = tensor([[1, 2], [3, 4]], { dtype: "float64" }).sum([0], { keepdim: true });
export const wide: DType = "float64";
export const square: Tensor = new Linear(2, 2).forward(eye(2));
export const doors: unknown[] = [Module, LoraLinear, PlateauSchedule, collate];
export const silent: Partial<TrainingMethod> = {};
export const rank = (known: Recipe): number => known.lora_rank;
`;
const WRONG = `import { tensor } from "qwen-pt";
export const text: string = tensor([1]).numel();
`;

let room: ReturnType<typeof installed>;
beforeAll(() => {
  room = installed();
});
afterAll(() => room?.remove());

/** Compiles a source file in the folder; what the compiler complains of. */
function compile(compiler: string, source: string, options: string[]): string {
  writeFileSync(path.join(room.dir, "use.ts"), source);
  const tsc = path.join(root, "node_modules", compiler, "bin/tsc");
  const args = [tsc, "--strict", "--noEmit", "--types", "node", "--lib", "es2022", ...options, "use.ts"];
  return spawnSync(process.execPath, args, { cwd: room.dir, encoding: "utf8" }).stdout;
}

const NODE10 = ["--module", "commonjs", "--moduleResolution", "node10", "--target", "es2020"];
const NODENEXT = ["--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022"];

it("the old compiler is the one that tslab has", () => {
  const versionOf = (name: string) =>
    JSON.parse(readFileSync(path.join(root, "node_modules", name, "package.json"), "utf8")).version;
  expect(versionOf("typescript-5.0")).toBe("5.0.4");
  expect(versionOf("@tslab/typescript-for-tslab")).toBe("5.0.4");
});

describe.each([
  ["typescript-5.0", "Node10", NODE10],
  ["typescript", "NodeNext", NODENEXT],
])("%s, %s", (compiler, _, options) => {
  // our declarations are checked too: skipLibCheck stays off
  it("takes the declarations", () => {
    expect(compile(compiler, USE, options)).toBe("");
  });

  it("knows the types", () => {
    expect(compile(compiler, WRONG, options)).toContain("Type 'number' is not assignable to type 'string'");
  });
});

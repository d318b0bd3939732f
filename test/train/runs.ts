// The runs that training tests make: recipes over the tiny model of test/fixtures/train, in this process, and what
// they leave. Not a test.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { type LoadedRecipe, type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import type { TrainEvent, TrainResult } from "../../lib/events.js";
import { parsePythonJson } from "../../lib/files/python-json.js";
import { openCheckpoint } from "../../lib/models/index.js";
import { loadSafetensors, scope, type Tensor } from "../../lib/torch/index.js";
import type { TrainerCallback } from "../../lib/train/loop/callbacks.js";
import { runRecipe } from "../../lib/train/run.js";

const FIXTURES = fileURLToPath(new URL("../fixtures/train/", import.meta.url));

/** A file or folder of the fixtures. */
export const fixture = (...names: string[]): string => path.join(FIXTURES, ...names);

/** What LLaMA-Factory made of a recipe. */
export interface Reference {
  keys: RecipeInput;
  log_history: Record<string, number>[];
  lines: Record<string, number>[];
  results: Record<string, number>;
  /** eval_results.json */
  evaluation?: Record<string, number>;
  state: Record<string, unknown>;
  files: string[];
  all_keys: string[];
  adapter_config?: Record<string, unknown>;
  /** bf16 only: the same with another attention, and how far its weights are. */
  eager?: { log_history: Record<string, number>[]; distance: number };
}

const { base, ...runs } = JSON.parse(readFileSync(fixture("runs.json"), "utf8")) as {
  base: RecipeInput;
} & Record<string, Reference>;

/** By recipe: those of make.py in one file, those of other scripts in a file each. */
export const references: Record<string, Reference> = {
  ...runs,
  ...Object.fromEntries(
    readdirSync(fixture("runs"))
      .sort()
      .map((file) => [
        path.basename(file, ".json"),
        JSON.parse(readFileSync(fixture("runs", file), "utf8")) as Reference,
      ]),
  ),
};

const made: string[] = [];
afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A temporary folder that goes away after the file's tests. */
export function folder(): string {
  const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-train-"));
  made.push(dir);
  return dir;
}

/** The fixtures' base recipe with other keys over it; models are named by their folder among the fixtures. */
export function recipe(keys: RecipeInput): RecipeInput {
  const all = { ...base, ...keys } as Record<string, unknown>;
  const model = String(all["model_name_or_path"]);
  if (!path.isAbsolute(model)) all["model_name_or_path"] = fixture(model);
  if (!path.isAbsolute(String(all["dataset_dir"]))) all["dataset_dir"] = fixture("data");
  const tokens = all["new_special_tokens_config"];
  if (tokens !== undefined && !path.isAbsolute(String(tokens)))
    all["new_special_tokens_config"] = fixture(String(tokens));
  const adapters = all["adapter_name_or_path"] as string | undefined;
  if (adapters !== undefined)
    all["adapter_name_or_path"] = adapters
      .split(",")
      .map((name) => (path.isAbsolute(name) ? name : fixture(name)))
      .join();
  return all as RecipeInput;
}

export const loaded = (keys: RecipeInput): LoadedRecipe => resolveRecipe(recipe(keys));

export interface Ran {
  result: TrainResult;
  events: TrainEvent[];
  dir: string;
}

/** Runs a recipe in this thread. `stop` is asked between blocks with the events so far. */
export async function run(
  keys: RecipeInput,
  stop?: (events: TrainEvent[]) => boolean,
  callbacks: readonly TrainerCallback[] = [],
): Promise<Ran> {
  const dir = (keys["output_dir"] as string | undefined) ?? folder();
  const events: TrainEvent[] = [];
  const result = await runRecipe(loaded({ ...keys, output_dir: dir }), {
    onEvent: (event) => events.push(event),
    isAborted: () => stop?.(events) ?? false,
    callbacks,
  });
  return { result, events, dir };
}

/** The events of one type. */
export function only<T extends TrainEvent["type"]>(
  events: readonly TrainEvent[],
  type: T,
): Extract<TrainEvent, { type: T }>[] {
  return events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type);
}

/** Ends a run inside micro-step `micro` of step `step` (both from 1), at its `call`th question. */
export function stopIn(step: number, micro: number, call = 2): (events: TrainEvent[]) => boolean {
  let asked = 0;
  return (events) => {
    const steps = only(events, "step").at(-1)?.step ?? startOf(events);
    const micros = only(events, "microStep").at(-1);
    const done = micros !== undefined && micros.step === steps + 1 ? micros.micro : 0;
    if (steps === step - 1 && done === micro - 1) return ++asked >= call;
    return steps >= step;
  };
}

function startOf(events: TrainEvent[]): number {
  return only(events, "begin").at(-1)?.startStep ?? 0;
}

export const history = (dir: string, ...below: string[]): Record<string, number>[] =>
  state(path.join(dir, ...below))["log_history"] as Record<string, number>[];

export const state = (dir: string): Record<string, unknown> =>
  parsePythonJson(readFileSync(path.join(dir, "trainer_state.json"), "utf8")) as Record<string, unknown>;

export const logLines = (dir: string): Record<string, number>[] =>
  readFileSync(path.join(dir, "trainer_log.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => parsePythonJson(line) as Record<string, number>);

const CLOCKS = /runtime|per_second|time|throughput/;

/** An entry without what a clock says. */
export const plain = (entry: object): Record<string, number> =>
  Object.fromEntries(Object.entries(entry).filter(([key]) => !CLOCKS.test(key))) as Record<string, number>;

/** Every file below a folder, sorted, with its path. */
export function filesOf(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** The adapter's or the model's file of a folder, or the index of its files; where there is none, the model's. */
export function weightsFile(dir: string): string {
  const files = ["adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json"];
  return path.join(dir, files.find((name) => existsSync(path.join(dir, name))) ?? "model.safetensors");
}

function tensorsOf(file: string): Map<string, Tensor> {
  if (!file.endsWith(".index.json")) return loadSafetensors(file);
  return new Map([...openCheckpoint(path.dirname(file))].map(([name, { tensor }]) => [name, tensor]));
}

/** |a - b| / |b| over all tensors of b together, in float64. Throws where one is missing or of another shape. */
export function distance(a: string, b: string): number {
  return scope(() => {
    const [ours, theirs] = [tensorsOf(a), tensorsOf(b)];
    let [difference, size] = [0, 0];
    for (const [name, expected] of theirs) {
      const found = ours.get(name);
      if (found === undefined || found.shape.join() !== expected.shape.join())
        throw new Error(`${name} is missing or of another shape`);
      difference += Number(found.double().sub(expected.double()).square().sum().item());
      size += Number(expected.double().square().sum().item());
    }
    return Math.sqrt(difference / size);
  });
}

export const relative = (a: number, b: number): number => Math.abs(a - b) / Math.max(Math.abs(b), 1e-30);

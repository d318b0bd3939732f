// Recipes against LLaMA-Factory 0.9.5 on the same model, data and seed, step by step (test/fixtures/train/make.py).
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parsePythonJson } from "../../lib/files/python-json.js";
import {
  distance,
  fixture,
  history,
  logLines,
  plain,
  type Reference,
  references,
  relative,
  run,
  state,
  weightsFile,
} from "./runs.js";

const isHalf = (reference: Reference) => reference.eager !== undefined;
// amplified.test.ts has those where rounding grows until no two processors agree
const names = Object.keys(references).filter((name) => !name.startsWith("amplified"));
const single = names.filter((name) => !isHalf(references[name]));
const half = names.filter((name) => isHalf(references[name]));
/** Recipes whose weights are those of another. */
const SAME_WEIGHTS: Record<string, string> = { "no-checkpointing": "lora" };

type Entry = Record<string, number>;

/** The largest relative difference of a key over two histories of the same steps. */
function worst(ours: Entry[], theirs: Entry[], key: string): number {
  return Math.max(
    0,
    ...theirs.map((entry, i) =>
      entry[key] === undefined ? 0 : relative(ours[i]?.[key] ?? Number.NaN, entry[key]),
    ),
  );
}

/**
 * The mean relative difference of a key, for what one step says little about: gradient norms spike where a step
 * overshoots, and how far is chance. At step 13 LLaMA-Factory's own bf16 and pure_bf16 runs, alike elsewhere, are a
 * tenth apart.
 */
function mean(ours: Entry[], theirs: Entry[], key: string): number {
  const steps = theirs.flatMap((entry, i) =>
    entry[key] === undefined ? [] : relative(ours[i]?.[key] ?? Number.NaN, entry[key]),
  );
  return steps.reduce((sum, one) => sum + one, 0) / Math.max(1, steps.length);
}

function row(name: string, values: Record<string, number>): void {
  const cells = Object.entries(values).map(([key, value]) => `${key} ${value.toExponential(1)}`);
  process.stdout.write(`  ${name.padEnd(22)} ${cells.join("   ")}\n`);
}

/** What is computed and not counted: losses, norms and perplexities. */
const COMPUTED = /loss$|^grad_norm$|_perplexity$/;

/** Everything but losses and norms: exactly theirs. */
function exact(entry: object): Entry {
  return Object.fromEntries(Object.entries(plain(entry)).filter(([key]) => !COMPUTED.test(key)));
}

/** The largest relative difference of everything that an evaluation computes. */
function worstEvaluation(ours: Entry[], theirs: Entry[]): number {
  const keys = new Set(
    theirs.flatMap((entry) => Object.keys(entry)).filter((key) => /^eval_.*loss$/.test(key)),
  );
  return Math.max(0, ...[...keys].map((key) => worst(ours, theirs, key)));
}

async function weightsOf(name: string, dir: string): Promise<number | undefined> {
  const file = fixture("weights", `${SAME_WEIGHTS[name] ?? name}.safetensors`);
  try {
    readFileSync(file);
  } catch {
    return undefined;
  }
  return distance(weightsFile(dir), file);
}

describe("fp32 recipes give LLaMA-Factory's numbers", () => {
  it.each(single)("%s", async (name) => {
    const reference = references[name];
    const { dir } = await run(reference.keys);
    const [ours, theirs] = [history(dir), reference.log_history];
    expect(ours.map(exact)).toEqual(theirs.map(exact));
    expect(ours.map((entry) => Object.keys(entry).sort())).toEqual(
      theirs.map((entry) => [...Object.keys(entry), ...clockKeys(entry, reference)].sort()),
    );
    const loss = worst(ours, theirs, "loss");
    const norm = mean(ours, theirs, "grad_norm");
    const weights = await weightsOf(name, dir);
    const spike = worst(ours, theirs, "grad_norm");
    row(name, { loss, grad_norm: norm, spike, ...(weights === undefined ? {} : { weights }) });
    // a state's last bit may round it to the code beside
    const far = name.endsWith("-8bit") ? 30 : 1;
    expect(loss).toBeLessThan(far * 1e-6);
    expect(norm).toBeLessThan(far * 3e-6);
    expect(spike).toBeLessThan(far * 1e-4);
    if (weights !== undefined) expect(weights).toBeLessThan(far * 1e-5);
    expect(worst(ours, theirs, "train_loss")).toBeLessThan(1e-6);
    const lines = logLines(dir).map(plain);
    expect(lines.map(exact)).toEqual(reference.lines.map(exact));
    expect(worst(lines, reference.lines, "loss")).toBeLessThan(far * 1e-6);
    const results = parsePythonJson(readFileSync(path.join(dir, "train_results.json"), "utf8")) as Entry;
    expect(exact(results)).toEqual(exact(reference.results));
    expect(relative(results.train_loss, reference.results.train_loss)).toBeLessThan(1e-6);
    if (reference.evaluation === undefined) return;
    const evaluated = parsePythonJson(readFileSync(path.join(dir, "eval_results.json"), "utf8")) as Entry;
    expect(exact(evaluated)).toEqual(exact(reference.evaluation));
    const evaluation = worstEvaluation([...ours, evaluated], [...theirs, reference.evaluation]);
    row("", { evaluation });
    expect(evaluation).toBeLessThan(1e-6);
    for (const [key, perplexity] of Object.entries(reference.evaluation))
      if (key.endsWith("_perplexity")) expect(relative(evaluated[key], perplexity)).toBeLessThan(1e-5);
    const { log_history, best_metric, best_model_checkpoint: best, ...rest } = state(dir);
    const { best_metric: metric, ...stated } = reference.state;
    expect({ ...rest, best_model_checkpoint: best && path.relative(dir, String(best)) }).toEqual(stated);
    expect(relative(Number(best_metric), Number(metric))).toBeLessThan(1e-6);
  });

  it("the recipes learn: a loss that stays where it is would hide errors", () => {
    for (const name of ["full", "lora", "freeze", "saved-modules"]) {
      const losses = references[name].log_history.flatMap(({ loss }) => loss ?? []);
      expect(losses.at(-1), name).toBeLessThan(0.9 * losses[0]);
    }
  });
});

/** The keys with a clock in them, which the fixtures leave out. */
function clockKeys(entry: Entry, { keys }: Reference): string[] {
  const set = Object.keys(entry).find((key) => /^eval_.*loss$/.test(key));
  if (set !== undefined)
    return ["runtime", "samples_per_second", "steps_per_second"].map((clock) => set.replace(/loss$/, clock));
  if (entry["train_loss"] !== undefined)
    return ["train_runtime", "train_samples_per_second", "train_steps_per_second"];
  return keys["include_num_input_tokens_seen"] ? ["train_runtime", "train_tokens_per_second"] : [];
}

// Not attention alone rounds otherwise here, but norms, products and gradients too: hence the factor.
describe("bf16 recipes are as near to LLaMA-Factory as it is to itself with another attention, three times over", () => {
  it.each(half)("%s", async (name) => {
    const reference = references[name];
    const { dir } = await run(reference.keys);
    const [ours, theirs, eager] = [history(dir), reference.log_history, reference.eager?.log_history ?? []];
    expect(ours.map(exact)).toEqual(theirs.map(exact));
    const weights = await weightsOf(name, dir);
    const found = { loss: mean(ours, theirs, "loss"), grad_norm: mean(ours, theirs, "grad_norm") };
    const allowed = { loss: mean(eager, theirs, "loss"), grad_norm: mean(eager, theirs, "grad_norm") };
    row(name, { ...found, ...(weights === undefined ? {} : { weights }) });
    row("  (theirs)", { ...allowed, weights: reference.eager?.distance ?? 0 });
    expect(found.loss).toBeLessThan(3 * allowed.loss);
    expect(found.grad_norm).toBeLessThan(3 * allowed.grad_norm);
    if (weights !== undefined) expect(weights).toBeLessThan(3 * (reference.eager?.distance ?? 0));
  });
});

// Twenty steps of a recipe on the example model and data, on a device and, in float32, on the processor beside it: does
// the whole of training work there, and do the losses agree?
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { RecipeInput } from "../../config/index.js";
import { messageOf } from "../../errors.js";
import type { StepEvent } from "../../events.js";
import { isHost } from "../../torch/index.js";
import { train } from "../../train/index.js";

const examples = fileURLToPath(new URL("../../../examples/", import.meta.url));

export interface RecipeRun {
  readonly precision: "float32" | "bfloat16";
  readonly losses: readonly number[];
  readonly tokensPerSecond: number;
  readonly peakMemoryBytes: number;
  /** Largest relative difference from the processor's losses; only in float32, and only where the device is another. */
  readonly difference?: number;
  readonly passed: boolean;
  readonly error?: string;
}

const hasWeights = (): boolean => existsSync(path.join(examples, "model", "model.safetensors"));

/** What float32 sums in another order may differ by after twenty steps. */
const LOSS_BOUND = 1e-3;

/** The recipe: the example model, from random weights where the package has none for it. */
function recipeOf(steps: number, bf16: boolean, device: string, output: string): RecipeInput {
  return {
    model_name_or_path: path.join(examples, "model"),
    train_from_scratch: !hasWeights(),
    stage: "pt",
    do_train: true,
    finetuning_type: hasWeights() ? "lora" : "full",
    dataset: "prose",
    dataset_dir: path.join(examples, "data"),
    cutoff_len: 256,
    max_samples: 64,
    output_dir: output,
    overwrite_output_dir: true,
    max_steps: steps,
    logging_steps: 1,
    save_strategy: "no",
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 1,
    learning_rate: 1e-3,
    lr_scheduler_type: "constant",
    bf16,
    use_cpu: isHost(device),
    report_to: "none",
  };
}

async function stepsOf(steps: number, bf16: boolean, device: string): Promise<StepEvent[]> {
  const output = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-steps-"));
  const done: StepEvent[] = [];
  try {
    await train(recipeOf(steps, bf16, device, output), { onStep: (step) => void done.push(step) });
    return done;
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

function summary(precision: RecipeRun["precision"], steps: StepEvent[], reference?: number[]): RecipeRun {
  const losses = steps.map(({ loss }) => loss);
  const difference = reference?.reduce(
    (most, loss, at) => Math.max(most, Math.abs(((losses[at] ?? Number.NaN) - loss) / loss)),
    0,
  );
  const quarter = Math.max(1, losses.length >> 2);
  const [first, last] = [mean(losses.slice(0, quarter)), mean(losses.slice(-quarter))];
  // batches differ: a model that was trained before may meet a harder one at the end
  const learnt = losses.length > 0 && last < first * (hasWeights() ? 1.1 : 1);
  return {
    precision,
    losses,
    tokensPerSecond: median(steps.slice(2).map(({ tokensPerSecond }) => tokensPerSecond)),
    peakMemoryBytes: Math.max(...steps.map(({ memoryBytes }) => memoryBytes)),
    difference,
    passed: learnt && (difference === undefined || difference <= LOSS_BOUND),
  };
}

/** The recipe in float32 and in bfloat16. A run that throws is a failed one, not an end. */
export async function recipeRuns(device: string, steps: number): Promise<RecipeRun[]> {
  const runs: RecipeRun[] = [];
  for (const precision of ["float32", "bfloat16"] as const) {
    try {
      const done = await stepsOf(steps, precision === "bfloat16", device);
      const beside = precision === "float32" && !isHost(device);
      const reference = beside ? (await stepsOf(steps, false, "cpu")).map(({ loss }) => loss) : undefined;
      runs.push(summary(precision, done, reference));
    } catch (error) {
      const nothing = { losses: [], tokensPerSecond: 0, peakMemoryBytes: 0, passed: false };
      runs.push({ precision, ...nothing, error: messageOf(error) });
    }
  }
  return runs;
}

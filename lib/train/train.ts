// train(): a recipe on its own worker thread, so that the caller's event loop stays free. Events come as plain
// data; an AbortSignal ends the run after saving the last finished step.
import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { type LoadedRecipe, loadRecipe, type RecipeInput, resolveRecipe } from "../config/index.js";
import { rankPlace } from "../distributed/environment.js";
import { DistributedError, PeerError } from "../distributed/errors.js";
import { UserError } from "../errors.js";
import type { StepEvent, TrainEvent, TrainResult } from "../events.js";
import { LeaseError, TorchError } from "../torch/index.js";
import { type Ending, TrackedEvents, type Tracker, trackersOf } from "../trackers/index.js";
import { AbortError } from "./whole-run/options.js";
import type { WorkerInput, WorkerMessage } from "./worker.js";

/** Options of {@link train}. */
export interface TrainOptions {
  /** Aborting saves a full checkpoint of the last finished step; the result says `interrupted`. */
  signal?: AbortSignal;
  /** Called with every event of the run. */
  onEvent?: (event: TrainEvent) => void;
  /** Called after every optimizer step. */
  onStep?: (step: StepEvent) => void;
  /** `key=value` pairs laid over the recipe. */
  overrides?: string[];
  /** Told of the run beside those that the recipe's `report_to` names. */
  trackers?: readonly Tracker[];
}

/** Beside this file where it was compiled; the compiled one where this file runs from its source. */
function workerFile(): URL {
  const beside = new URL("./worker.js", import.meta.url);
  return existsSync(beside) ? beside : new URL(beside.href.replace("/lib/train/", "/dist/train/"));
}

function revive(message: Extract<WorkerMessage, { kind: "error" }>): Error {
  const error = message.isUserError
    ? new UserError(message.message)
    : message.name === "AbortError"
      ? new AbortError(message.message)
      : message.name === "PeerError"
        ? new PeerError(message.message)
        : message.name === "DistributedError"
          ? new DistributedError(message.message)
          : message.code === "ERR_LEASE"
            ? new LeaseError(message.message, message.code)
            : message.code?.startsWith("ERR_")
              ? new TorchError(message.message, message.code)
              : new Error(message.message);
  if (message.stack !== undefined) error.stack = message.stack;
  return error;
}

/**
 * Trains by a recipe: the path of a YAML file, or its keys as an object. Runs on a worker thread; until it ends no
 * other thread of the process may compute.
 * @example await train("recipe.yaml", { onStep: ({ step, loss }) => console.log(step, loss) });
 * @returns the run's result; `interrupted` where the signal ended it
 * @throws UserError for bad input; what a callback throws, which ends the run immediately; AbortError where the signal came before the first step was done; LeaseError where
 *   another thread computes
 */
export async function train(recipe: string | RecipeInput, options: TrainOptions = {}): Promise<TrainResult> {
  const overrides = options.overrides ?? [];
  const loaded: LoadedRecipe =
    typeof recipe === "string" ? loadRecipe(recipe, overrides) : resolveRecipe(recipe, { overrides });
  if (options.signal?.aborted) throw new AbortError("aborted before the first step");
  const abort = new SharedArrayBuffer(4);
  const onAbort = (): void => {
    Atomics.store(new Int32Array(abort), 0, 1);
  };
  // one of several processes speaks for all
  const isMain = (rankPlace(process.env)?.rank ?? 0) === 0;
  const trackers = isMain ? await trackersOf(loaded.recipe, options.trackers) : [];
  const tracked = new TrackedEvents(loaded.recipe, trackers, (event) => options.onEvent?.(event));
  const workerData: WorkerInput = { loaded, abort };
  const worker = new Worker(workerFile(), { workerData });
  options.signal?.addEventListener("abort", onAbort, { once: true });
  let ending: Ending = "failed";
  try {
    const result = await outcome(worker, tracked, options);
    ending = result.interrupted ? "interrupted" : "finished";
    return result;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
    await worker.terminate();
    await tracked.finish(ending);
  }
}

function outcome(
  worker: Worker,
  tracked: TrackedEvents,
  { onEvent, onStep }: TrainOptions,
): Promise<TrainResult> {
  return new Promise<TrainResult>((resolve, reject) => {
    worker.on("message", (message: WorkerMessage) => {
      if (message.kind === "result") resolve(message.result);
      else if (message.kind === "error") reject(revive(message));
      else {
        tracked.observe(message.event);
        try {
          onEvent?.(message.event);
          if (message.event.type === "step") onStep?.(message.event);
        } catch (error) {
          reject(error); // the caller's own error belongs to the caller; it must not crash the process
        }
      }
    });
    worker.on("error", reject);
    worker.on("exit", (code) =>
      reject(new Error(`the training thread ended without a result (exit code ${code})`)),
    );
  });
}

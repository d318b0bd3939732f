// train() for a notebook's cell: one display that updates, the kernel's interrupt as the run's, and a cell that is run
// again waits for the run that it interrupted to have saved.
import type { RecipeInput } from "../config/index.js";
import type { TrainResult } from "../events.js";
import { type TrainOptions, train } from "../train/index.js";
import { type CellDisplay, RunView } from "./run-view.js";

let running: Promise<unknown> = Promise.resolve();

/**
 * Trains by a recipe and shows the run in a cell. Interrupting the kernel saves the last finished step; running the cell
 * again then goes on from there, as the same recipe on the command line does.
 *
 * @param display `tslab.newDisplay()`, or anything whose `html` replaces what it showed before
 * @param recipe the path of a YAML file, or its keys
 * @param options as `train` takes them
 * @returns the run's result; `interrupted` where the kernel was
 * @throws what `train` throws
 * @example
 * import * as tslab from "tslab";
 * import { trainInCell } from "qwen-pt/notebook";
 * const result = await trainInCell(tslab.newDisplay(), "recipe.yaml");
 */
export async function trainInCell(
  display: CellDisplay,
  recipe: string | RecipeInput,
  options: TrainOptions = {},
): Promise<TrainResult> {
  await running; // never fails: what it waits for was reported by its own cell
  const result = runShown(display, recipe, options);
  running = result.catch(() => {});
  return result;
}

async function runShown(
  display: CellDisplay,
  recipe: string | RecipeInput,
  { signal, onEvent, ...options }: TrainOptions,
): Promise<TrainResult> {
  const view = new RunView(display);
  const abort = new AbortController();
  const interrupt = (): void => {
    view.say("interrupted: saving the last finished step");
    abort.abort();
  };
  process.once("SIGINT", interrupt);
  try {
    const signals = signal === undefined ? abort.signal : AbortSignal.any([signal, abort.signal]);
    const result = await train(recipe, {
      ...options,
      signal: signals,
      onEvent: (event) => {
        view.observe(event);
        onEvent?.(event);
      },
    });
    if (result.interrupted) view.say("run this cell again to go on");
    return result;
  } catch (error) {
    view.fail();
    throw error;
  } finally {
    process.removeListener("SIGINT", interrupt);
  }
}

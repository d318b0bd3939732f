// The worker thread of train(): runs the recipe it is given and posts events. Nothing else may be imported from it.
import { parentPort, workerData } from "node:worker_threads";
import type { LoadedRecipe } from "../config/index.js";
import { UserError } from "../errors.js";
import type { TrainEvent, TrainResult } from "../events.js";
import { runRecipe } from "./run.js";

/** What train() hands to its worker. */
export interface WorkerInput {
  loaded: LoadedRecipe;
  /** One Int32: 1 once the caller has aborted. */
  abort: SharedArrayBuffer;
}

/** What the worker posts: events, then one of the last two. */
export type WorkerMessage =
  | { kind: "event"; event: TrainEvent }
  | { kind: "result"; result: TrainResult }
  | {
      kind: "error";
      name: string;
      message: string;
      stack: string | undefined;
      code: string | undefined;
      isUserError: boolean;
    };

const port = parentPort;
if (port === null) throw new Error("worker.ts is started by train()");
const { loaded, abort } = workerData as WorkerInput;
const flag = new Int32Array(abort);
const post = (message: WorkerMessage): void => port.postMessage(message);
const controller = new AbortController();
const isAborted = (): boolean => {
  if (Atomics.load(flag, 0) === 0) return false;
  controller.abort();
  return true;
};
const watch = setInterval(isAborted, 50);

runRecipe(loaded, {
  isAborted,
  signal: controller.signal,
  onEvent: (event) => post({ kind: "event", event }),
})
  .then(
    (result) => post({ kind: "result", result }),
    (error: unknown) => {
      const known = error instanceof Error ? error : new Error(String(error));
      post({
        kind: "error",
        name: known.name,
        message: known.message,
        stack: known.stack,
        code: (known as NodeJS.ErrnoException).code,
        isUserError: known instanceof UserError,
      });
    },
  )
  .finally(() => {
    clearInterval(watch);
    port.close();
  });

// A whole run in the caller's thread. train.ts calls it on a worker; a program that wants the model afterwards may call it
// directly. What a run is made of comes when it begins (whole-run/).

import type { LoadedRecipe, Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import type { TrainResult } from "../events.js";
import { holdLease, OutOfMemoryError, releaseLease, setDeterministic, TorchError } from "../torch/index.js";
import type { Joined } from "./strategy/join.js";
import { AbortError, type RunOptions } from "./whole-run/options.js";

/**
 * Runs a recipe from its data to its output files.
 * @throws UserError for bad input, AbortError where it was aborted before the first step
 */
export async function runRecipe(loaded: LoadedRecipe, options: RunOptions = {}): Promise<TrainResult> {
  holdLease();
  let joined: Joined | undefined;
  try {
    const [{ joinRun }, { runJoined }] = await Promise.all([
      import("./strategy/join.js"),
      import("./whole-run/joined.js"),
    ]);
    joined = await orAborted(joinRun(loaded.recipe), options.signal);
    const result = await runJoined(loaded, options, joined.strategy);
    await joined.close();
    return result;
  } catch (error) {
    const known = isOutOfMemory(error) ? outOfMemory(error, loaded.recipe) : lostCard(error);
    throw joined === undefined ? known : await joined.fail(known);
  } finally {
    setDeterministic(false);
    releaseLease();
  }
}

/** What comes, or the end: other processes may come long after a signal, or never. */
async function orAborted<T>(coming: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return coming;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new AbortError("aborted before the other processes came"));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([coming, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Memory of a card runs out in libtorch's allocator, or where the driver loads and launches our kernels. */
function isOutOfMemory(error: unknown): error is TorchError {
  if (error instanceof OutOfMemoryError) return true;
  return error instanceof TorchError && /\bCUDA error: out of memory/.test(error.message);
}

/**
 * A card that failed under a run (an error of its memory, fallen off the bus, a kernel that went astray), in a line:
 * after it nothing more can be computed in this process. Anything else as it is.
 */
export function lostCard(error: unknown): unknown {
  const said = error instanceof TorchError && /\bCUDA error: ([^\n]*)/.exec(error.message)?.[1];
  if (!said) return error;
  if (/no kernel image/.test(said))
    return new UserError(
      `libtorch has no code for this card (CUDA error: ${said.trim()}): qwen-pt doctor names the build of libtorch that has it, or set use_cpu: true`,
      { cause: error },
    );
  return new UserError(
    `the card failed (CUDA error: ${said.trim()}): see dmesg for NVRM and Xid, reset the card (nvidia-smi --gpu-reset) or reboot, and resume from the last checkpoint, which is whole`,
    { cause: error },
  );
}

/** libtorch's first sentence, then the keys that would save memory. */
function outOfMemory(error: TorchError, recipe: Recipe): UserError {
  const [said = ""] = error.message.split(/(?<=[^.]\.)\s|\n/);
  const remedies = [
    recipe.per_device_train_batch_size > 1
      ? `lower per_device_train_batch_size (${recipe.per_device_train_batch_size}) and raise gradient_accumulation_steps`
      : `lower cutoff_len (${recipe.cutoff_len})`,
    ...(recipe.gradient_checkpointing === false ? ["set gradient_checkpointing: selective or true"] : []),
    ...(recipe.finetuning_type === "lora" ? [] : ["train with finetuning_type: lora"]),
    "take a smaller model",
  ];
  return new UserError(
    `out of memory (${said.replace(/\s*\((?:aten|qwen_pt)::[^)]*\)|\.$/g, "")}): ${remedies.join(", or ")}`,
    {
      cause: error,
    },
  );
}

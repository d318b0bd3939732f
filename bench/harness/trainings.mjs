// One training by a recipe, by any of the programs that the bench compares, and what its own log and the sampler say of it.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { measure } from "./processes.mjs";
import { cli, root, tutorialRecipe } from "./subject.mjs";

/** The environment of a program whose caches are in a folder. */
export const environmentIn = (folder) => ({
  ...process.env,
  HF_HOME: path.join(folder, "huggingface"),
  HF_DATASETS_CACHE: path.join(folder, "datasets"),
  QWEN_PT_CACHE: path.join(folder, "cache"),
});

/** The command and arguments with which a program trains a recipe; `programs` says where peers are installed. */
export function trainingCommand(program, programs, recipe, output) {
  if (program === "llamafactory") return [programs.llamafactory.cli, ["train", recipe]];
  if (program === "qwen-pt") return [process.execPath, [cli, "train", recipe]];
  const loops = {
    unsloth: [programs.unsloth?.python, "unsloth_loop.py"],
    loop: [programs.llamafactory?.python, "plain_loop.py"],
  };
  const [python, script] = loops[program];
  return [python, [path.join(root, "bench", "programs", script), recipe, output]];
}

/**
 * Trains the tutorial's recipe with these keys, from the first file to the last.
 * @param {{folder: string, name: string, program: string, programs: object, model: string, keys: object}} options `name`:
 *   what its recipe, log and output are called; errors name it
 * @returns status of the process, its log's file and the sampler's peak; where it went well, too, seconds of the steps and
 *   around them, the dtype and the losses
 */
export async function trainOnce({ folder, name, program, programs, model, keys }) {
  const id = name.replaceAll(/[^a-z0-9]+/gi, "-").toLowerCase();
  const output = path.join(folder, `out-${id}`);
  rmSync(output, { recursive: true, force: true });
  const recipe = path.join(folder, `${id}.yaml`);
  writeFileSync(recipe, tutorialRecipe(model, output, keys));
  const log = path.join(folder, `${id}.log`);
  const [command, args] = trainingCommand(program, programs, recipe, output);
  const { status, seconds, peakBytes } = await measure(command, args, {
    cwd: folder,
    env: environmentIn(folder),
    log,
  });
  if (status !== 0) return { status, log, peakBytes };
  const read = (file) => JSON.parse(readFileSync(path.join(output, file), "utf8"));
  const { train_runtime: stepSeconds, dtype } = read("train_results.json");
  rmSync(path.join(output, "model.safetensors"), { force: true });
  return {
    status,
    log,
    peakBytes,
    stepSeconds,
    // everything but the steps: start, data, model before them and files after them
    aroundSeconds: seconds - stepSeconds,
    dtype,
    losses: read("trainer_state.json").log_history.flatMap(({ loss }) => loss ?? []),
  };
}

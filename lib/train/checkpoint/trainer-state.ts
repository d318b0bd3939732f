// trainer_state.json: where a run stands and all that it has logged, with exactly the keys and the layout of
// transformers' TrainerState. It holds no tensors; optimizer, schedule and random state are other files of a checkpoint.
import { readFileSync } from "node:fs";
import { messageOf, UserError } from "../../errors.js";
import { jsonOf } from "../../files/json-file.js";
import { writeWhole } from "../../files/output-file.js";
import { pythonJson } from "../../files/python-json.js";
import { anything, count, list, number, object, optional, table } from "../../files/shape.js";

/** Numbers that Python holds as int, in every file of this family. */
export const INTEGER_KEYS: ReadonlySet<string> = new Set([
  "best_global_step",
  "current_steps",
  "eval_steps",
  "global_step",
  "logging_steps",
  "max_steps",
  "num_input_tokens_seen",
  "num_train_epochs",
  "save_steps",
  "step",
  "total_steps",
  "total_tokens",
  "train_batch_size",
]);

/** One entry of log_history: `step` and `epoch`, and what was measured there. */
export type LogEntry = Record<string, number>;

/** What the loop had decided when the state was written. */
export interface ControlFlags {
  should_epoch_stop: boolean;
  should_evaluate: boolean;
  should_log: boolean;
  should_save: boolean;
  should_training_stop: boolean;
}

/** The content of trainer_state.json. transformers refuses a file with other keys than these. */
export interface TrainerState {
  best_global_step: number | null;
  best_metric: number | null;
  best_model_checkpoint: string | null;
  epoch: number;
  eval_steps: number;
  global_step: number;
  is_hyper_param_search: boolean;
  is_local_process_zero: boolean;
  is_world_process_zero: boolean;
  log_history: LogEntry[];
  logging_steps: number;
  max_steps: number;
  num_input_tokens_seen: number;
  num_train_epochs: number;
  save_steps: number;
  stateful_callbacks: Record<string, unknown>;
  total_flos: number;
  train_batch_size: number | null;
  trial_name: string | null;
  trial_params: Record<string, unknown> | null;
}

/** A fresh state with transformers' defaults; `given` overrides them. */
export function newTrainerState(given: Partial<TrainerState> = {}): TrainerState {
  return {
    best_global_step: null,
    best_metric: null,
    best_model_checkpoint: null,
    epoch: 0,
    eval_steps: 500,
    global_step: 0,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: [],
    logging_steps: 500,
    max_steps: 0,
    num_input_tokens_seen: 0,
    num_train_epochs: 0,
    save_steps: 500,
    stateful_callbacks: controlState({}),
    total_flos: 0,
    train_batch_size: null,
    trial_name: null,
    trial_params: null,
    ...given,
  };
}

/** `stateful_callbacks` for the given flags; those left out are false. A checkpoint in mid-run has only `should_save`,
 * the one at the end and the final state `should_save` and `should_training_stop`. */
export function controlState(flags: Partial<ControlFlags>): Record<string, unknown> {
  const args: ControlFlags = {
    should_epoch_stop: false,
    should_evaluate: false,
    should_log: false,
    should_save: false,
    should_training_stop: false,
    ...flags,
  };
  return { TrainerControl: { args, attributes: {} } };
}

/** The text of trainer_state.json: indented by 2, keys sorted, a newline at the end. */
export function formatTrainerState(state: TrainerState): string {
  return `${pythonJson(state, { integers: INTEGER_KEYS, indent: 2, sortKeys: true })}\n`;
}

/** Writes the state whole or not at all. Throws UserError where the disk refuses. */
export function saveTrainerState(state: TrainerState, file: string): void {
  writeWhole(file, formatTrainerState(state));
}

const SHAPE = object({
  global_step: count,
  epoch: optional(number),
  max_steps: optional(number),
  num_input_tokens_seen: optional(number),
  total_flos: optional(number),
  log_history: optional(list(table(anything))),
});
const REMEDY = "resume from another checkpoint or start without resume_from_checkpoint";

/** Reads a state back, ours or transformers'. `file` only names it in errors. Throws UserError. */
export function parseTrainerState(text: string, file: string): TrainerState {
  const found = jsonOf(text, file, SHAPE, { remedy: REMEDY, python: true });
  const state = newTrainerState(found as Partial<TrainerState>);
  // a later step than the last would count as a run that is over
  if (state.max_steps > 0 && state.global_step > state.max_steps)
    throw new UserError(
      `${file}: global_step ${state.global_step} is beyond max_steps ${state.max_steps}: the file is damaged; ${REMEDY}`,
    );
  return state;
}

/** Reads trainer_state.json. Throws UserError where it is missing or damaged. */
export function loadTrainerState(file: string): TrainerState {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`cannot read ${file}: ${messageOf(error)}; resume from a complete checkpoint folder`);
  }
  return parseTrainerState(text, file);
}

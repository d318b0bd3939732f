// Callbacks of a program in the training loop: told of what happens, and asked after each step whether to log, evaluate,
// save or stop. What a method for incremental pre-training adds to the computation is a TrainingMethod.
import type { CausalModel } from "../../models/causal-model.js";
import type { Optimizer } from "../../optim/index.js";
import type { Due } from "../plan/intervals.js";
import type { Strategy } from "../strategy/strategy.js";
import type { Outcome } from "./outcome.js";

/** The run, as a callback sees it. */
export interface CallbackRun {
  /** Finished optimizer steps. */
  readonly step: number;
  /** Of the whole run. */
  readonly totalSteps: number;
  /** Passes over the blocks so far; need not be whole. */
  readonly epoch: number;
  /** The model, with the weights as they are. */
  readonly model: CausalModel;
  /** The optimizer; its rates are the schedule's, which sets them before each step. */
  readonly optimizer: Optimizer;
}

/** What a callback may ask for, beside what the recipe asks for. It is done once, after the step. */
export interface CallbackControl {
  /** Logs the loss since the last entry. */
  log(): void;
  /** Evaluates, and logs the result. */
  evaluate(): void;
  /** Writes a checkpoint. */
  save(): void;
  /** Makes this step the last one: the run then ends as after its last step, with its files written. */
  stop(): void;
}

/**
 * A few points of the loop, each optional; the loop waits for promises. What a callback throws ends the run. Of several
 * processes each has its own callbacks: what one of them asks for, all of them do.
 */
export interface TrainerCallback {
  /** Before the first step of this process. */
  onBegin?(run: CallbackRun): void | Promise<void>;
  /** After each optimizer step, before what is due then. */
  onStep?(run: CallbackRun, control: CallbackControl): void | Promise<void>;
  /** After figures were logged, by the names of trainer_state.json: `loss`, `eval_loss`, `learning_rate`. */
  onLog?(figures: Readonly<Record<string, number>>, run: CallbackRun): void | Promise<void>;
  /** After an evaluation. */
  onEvaluate?(figures: Readonly<Record<string, number>>, run: CallbackRun): void | Promise<void>;
  /** After a checkpoint was written. */
  onCheckpoint?(path: string, run: CallbackRun): void | Promise<void>;
  /** After the last step, or the interruption. */
  onEnd?(outcome: Outcome, run: CallbackRun): void | Promise<void>;
}

const NOTHING: Due = { log: false, evaluate: false, save: false };

/** The callbacks of one run, in their order. */
export class Callbacks {
  /** Whether one of them has made the last step the last. */
  stopped = false;
  readonly #all: readonly TrainerCallback[];
  readonly #strategy: Pick<Strategy, "sum">;
  #asked: Due = NOTHING;

  constructor(all: readonly TrainerCallback[], strategy: Pick<Strategy, "sum">) {
    this.#all = all;
    this.#strategy = strategy;
  }

  /** Calls one point of each. */
  async tell<K extends Exclude<keyof TrainerCallback, "onStep">>(
    point: K,
    ...args: Parameters<NonNullable<TrainerCallback[K]>>
  ): Promise<void> {
    for (const callback of this.#all)
      await (callback[point] as ((...given: typeof args) => void | Promise<void>) | undefined)?.call(
        callback,
        ...args,
      );
  }

  /** Tells of a finished step, and gathers what is asked for on any process. */
  async step(run: CallbackRun): Promise<void> {
    if (this.#all.length === 0) return;
    const asked = { log: 0, evaluate: 0, save: 0, stop: 0 };
    const ask = (what: keyof typeof asked) => () => {
      asked[what] = 1;
    };
    const control = { log: ask("log"), evaluate: ask("evaluate"), save: ask("save"), stop: ask("stop") };
    for (const callback of this.#all) await callback.onStep?.(run, control);
    const { log, evaluate, save, stop } = asked;
    const [logs = 0, evaluates = 0, saves = 0, stops = 0] = await this.#strategy.sum([
      log,
      evaluate,
      save,
      stop,
    ]);
    this.#asked = { log: logs > 0, evaluate: evaluates > 0, save: saves > 0 };
    if (stops > 0) this.stopped = true;
  }

  /** What is due and what was asked for, once. */
  withAsked(due: Due): Due {
    const asked = this.#asked;
    this.#asked = NOTHING;
    return {
      log: due.log || asked.log,
      evaluate: due.evaluate || asked.evaluate,
      save: due.save || asked.save,
    };
  }
}

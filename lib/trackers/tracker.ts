// The door for trackers: what one is told of a run, and what it may do. Which there are: table.ts; from events to these
// calls: follow.ts.

/** What a tracker learns of a run before its first step. */
export interface TrackedRun {
  /** The recipe's `output_dir`. */
  readonly outputDir: string;
  /** `run_name`; undefined lets the tracker choose. */
  readonly name: string | undefined;
  /** The recipe, key by key, secrets replaced by their keys' names. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Optimizer steps that an earlier run has behind it; above 0 the run is resumed. */
  readonly startStep: number;
  /** What {@link TrackedRun.remember} kept in the run that this one resumes. */
  readonly remembered: Readonly<Record<string, string>> | undefined;
  /** Keeps what finds the same run again (an id, a folder) for a run that resumes this one. */
  remember(place: Readonly<Record<string, string>>): void;
  /** Says something to the user, once. */
  say(text: string, level?: "info" | "warning"): void;
}

/** A file worth keeping beside the figures. */
export interface Artifact {
  /** The file's path. */
  readonly path: string;
  /** What it is, in a few words: "figure", "model card". */
  readonly what: string;
  /** Finished optimizer steps when it was written. */
  readonly step: number;
}

/** How a run ended. */
export type Ending = "finished" | "interrupted" | "failed";

/**
 * Something that a run reports to. It never computes and never holds a run up: what it throws, or a promise of its that
 * fails, ends the reporting to it with one warning, and the run goes on.
 */
export interface Tracker {
  /** The word for it in `report_to`. */
  readonly name: string;
  /** Before training: whether it can be used at all. A UserError ends the run before it begins. */
  check?(): void | Promise<void>;
  /** Before the first step. */
  begin(run: TrackedRun): void;
  /**
   * Figures of a step.
   * @param figures as transformers logs them: `loss`, `eval_loss`, `learning_rate`, and this package's own, whose names
   *   hold a slash (`perf/tokens_per_second`)
   * @param step finished optimizer steps
   */
  log(figures: Readonly<Record<string, number>>, step: number): void;
  /** A file is complete. */
  artifact?(file: Artifact): void;
  /** The run is over; resolves when everything is delivered, or when it is not going to be. */
  finish(ending: Ending): Promise<void> | void;
}

/** Figures that say something about a whole run. */
const WHOLE_RUN = new Set([
  "train_runtime",
  "train_samples_per_second",
  "train_steps_per_second",
  "train_loss",
  "total_flos",
]);

/** transformers' tags: `eval/` and `test/` for what begins so, `train/` for the rest; names with a slash stay. */
export function tagOf(figure: string): string {
  if (figure.includes("/")) return figure;
  const part = /^(eval|test)_(.+)$/s.exec(figure);
  return part === null ? `train/${figure}` : `${part[1]}/${part[2]}`;
}

/** As transformers' callbacks keep them apart: points of curves by their tags, and figures of the whole run by name. */
export function shownFigures(figures: Readonly<Record<string, number>>): {
  points: Record<string, number>;
  whole: Record<string, number>;
} {
  const points: Record<string, number> = {};
  const whole: Record<string, number> = {};
  for (const [name, value] of Object.entries(figures)) {
    if (WHOLE_RUN.has(name)) whole[name] = value;
    else points[tagOf(name)] = value;
  }
  return { points, whole };
}

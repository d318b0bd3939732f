// The words of report_to: the one table of trackers. What they stand for is in lib/trackers; transformers' other words are
// known, so that they can be refused by name.

/**
 * Each tracker, and what it is made of: a file of this package, lib/trackers/NAME/tracker.ts, or the tracker's own Python
 * client, a class in assets/tracker_bridge.py.
 */
export const BUILT_IN_TRACKERS = {
  tensorboard: "file",
  wandb: "client",
  mlflow: "client",
  swanlab: "client",
  trackio: "client",
} as const;
type Kinds = typeof BUILT_IN_TRACKERS;
/** The trackers that are a file of this package. */
export type FileTracker = { [name in keyof Kinds]: Kinds[name] extends "file" ? name : never }[keyof Kinds];
const ELSEWHERE = [
  "azure_ml",
  "comet_ml",
  "neptune",
  "codecarbon",
  "clearml",
  "dagshub",
  "flyte",
  "dvclive",
  "kubeflow",
];

const names = new Set(Object.keys(BUILT_IN_TRACKERS));

/** Makes a word known, for a tracker that a program registers. */
export function addTrackerName(name: string): void {
  names.add(name);
}

/** Words that report_to takes beside all and none. */
export const trackerNames = (): readonly string[] => [...names];

/** Whether transformers has a tracker of that name and this package has not. */
export const isTrackerElsewhere = (name: string): boolean => ELSEWHERE.includes(name) && !names.has(name);

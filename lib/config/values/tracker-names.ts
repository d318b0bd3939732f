// The words of report_to. What they stand for is in lib/trackers; transformers' other words are known, so that they can
// be refused by name.

const BUILT_IN = ["tensorboard", "wandb", "mlflow", "swanlab", "trackio"];
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

const names = new Set(BUILT_IN);

/** Makes a word known, for a tracker that a program registers. */
export function addTrackerName(name: string): void {
  names.add(name);
}

/** Words that report_to takes beside all and none. */
export const trackerNames = (): readonly string[] => [...names];

/** Whether transformers has a tracker of that name and this package has not. */
export const isTrackerElsewhere = (name: string): boolean => ELSEWHERE.includes(name) && !names.has(name);

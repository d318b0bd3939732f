// Where a user's own dataset_info.json leads out of its folder: by `..`, an absolute path or a link. LLaMA-Factory lets it,
// and so do we; what is read instead of the name is said, for whoever was handed the folder. It opens no data.

import { realpathSync } from "node:fs";
import path from "node:path";
import { readDatasetInfo } from "./dataset-info.js";

interface Named {
  readonly dataset?: readonly string[] | null;
  readonly eval_dataset?: readonly string[] | null;
  readonly replay_dataset?: readonly string[] | null;
  readonly dataset_dir?: string;
}

/**
 * A line for each local dataset whose files are elsewhere.
 * @throws UserError where readDatasetInfo does
 */
export function outsideNotes({
  dataset,
  eval_dataset,
  replay_dataset,
  dataset_dir = "data",
}: Named): string[] {
  const names = [...new Set([dataset, eval_dataset, replay_dataset].flatMap((list) => list ?? []))];
  if (dataset_dir === "ONLINE" || names.length === 0) return [];
  const entries = readDatasetInfo(dataset_dir, names);
  const within = realpathSync(dataset_dir) + path.sep;
  return entries.flatMap(({ name, files }) => {
    const real = files.map((file) => realpathSync(file)).filter((file) => !file.startsWith(within));
    if (real.length === 0) return [];
    const more = real.length === 1 ? "" : ` and ${real.length - 1} more`;
    return [`dataset: ${name}: reads ${real[0]}${more}, outside of ${dataset_dir}`];
  });
}

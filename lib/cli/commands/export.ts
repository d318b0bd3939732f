// `qwen-pt export RECIPE [KEY=VALUE ...]`: merges an adapter and saves the whole model.
import type { Recipe } from "../../config/index.js";
import type { HubEvent } from "../../hub/index.js";
import { neededRecipe, readArguments } from "../terminal/arguments.js";
import { DownloadLine } from "../terminal/download-line.js";
import type { CommandMain, Host } from "../terminal/host.js";
import { Progress } from "../terminal/progress.js";

/** What the command needs from the rest of the package; tests hand it their own. */
export interface Exporting {
  load(file: string, overrides: string[]): { recipe: Recipe; notes: readonly string[] };
  exportModel(recipe: Recipe, onEvent: (event: HubEvent) => void): Promise<unknown>;
}

export const run: CommandMain = async (args, host) => {
  const found = readArguments("export", args);
  const file = neededRecipe("export", found);
  const [{ loadRecipe }, { exportModel }] = await Promise.all([
    import("../../config/index.js"),
    import("../../inference/export.js"),
  ]);
  const load = (name: string, overrides: string[]) =>
    loadRecipe(name, overrides, { for: "export", env: host.env });
  return runExport(file, found.overrides, host, { load, exportModel });
};

/** Merges and saves; resolves to the exit code. */
export async function runExport(
  file: string,
  overrides: string[],
  host: Host,
  parts: Exporting,
): Promise<number> {
  const { recipe, notes } = parts.load(file, overrides);
  for (const note of notes) host.out.write(`${note}\n`);
  const download = new DownloadLine(new Progress(host));
  await parts.exportModel(recipe, (event) => download.show(event)).finally(() => download.stop());
  host.out.write(`model saved in ${recipe.export_dir}\n`);
  return 0;
}

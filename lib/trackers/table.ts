// From the trackers' names to trackers: those of the table, config/values/tracker-names.ts, and what a program registers.
import type { Recipe } from "../config/index.js";
import { addTrackerName, BUILT_IN_TRACKERS, type FileTracker } from "../config/values/tracker-names.js";
import type { ClientSettings } from "./python/bridge.js";
import type { Tracker } from "./tracker.js";

/** Makes a tracker for a recipe that names it. */
export type TrackerMaker = (recipe: Recipe) => Tracker | Promise<Tracker>;

/** What makes the trackers of this package; the compiler asks for each of the table's. Loaded when a recipe names it. */
const FILES: Record<FileTracker, TrackerMaker> = {
  tensorboard: async (recipe) => (await import("./tensorboard/tracker.js")).makeTracker(recipe),
};
const client =
  (name: string): TrackerMaker =>
  async (recipe) =>
    new (await import("./python/bridge.js")).PythonTracker(name, clientSettings(recipe));
const TRACKERS = new Map<string, TrackerMaker>(
  Object.keys(BUILT_IN_TRACKERS).map((name) => [
    name,
    name in FILES ? FILES[name as FileTracker] : client(name),
  ]),
);
/** Whether a tracker is a Python client, which may not be installed. */
const isClient = (name: string): boolean => name in BUILT_IN_TRACKERS && !(name in FILES);
/** Names of keys and variables whose values a message never shows. */
const SECRET = /(token|api_key|secret|password|webhook_url)$/i;

/**
 * Adds a tracker under a name that `report_to` then knows.
 * @param name a word; one that is there already is replaced
 * @example registerTracker("mine", () => new MyTracker());
 */
export function registerTracker(name: string, make: TrackerMaker): void {
  addTrackerName(name);
  TRACKERS.set(name, make);
}

/**
 * The trackers that a recipe names, and a caller's own; `all` stands for those whose clients are installed.
 * @throws UserError where one cannot be used
 */
export async function trackersOf(recipe: Recipe, own: readonly Tracker[] = []): Promise<Tracker[]> {
  const named = new Set(recipe.report_to);
  const names = named.delete("all") ? new Set([...TRACKERS.keys(), ...named]) : named;
  const found: Tracker[] = [];
  for (const name of names) {
    const make = TRACKERS.get(name);
    if (make === undefined) throw new Error(`report_to: ${name} was read and is in no table`);
    const tracker = await make(recipe);
    try {
      await tracker.check?.();
    } catch (error) {
      if (named.has(name) || !isClient(name)) throw error;
      continue;
    }
    found.push(tracker);
  }
  for (const tracker of own) await tracker.check?.();
  return [...found, ...own];
}

function clientSettings(recipe: Recipe): ClientSettings {
  const { swanlab_project, swanlab_workspace, swanlab_run_name, swanlab_mode, swanlab_logdir } = recipe;
  const swanlab: ClientSettings["swanlab"] = recipe.use_swanlab
    ? {
        project: swanlab_project,
        workspace: swanlab_workspace,
        run_name: swanlab_run_name,
        mode: swanlab_mode,
        logdir: swanlab_logdir,
        api_key: recipe.swanlab_api_key,
        lark_webhook_url: recipe.swanlab_lark_webhook_url,
        lark_secret: recipe.swanlab_lark_secret,
      }
    : {};
  const secrets = [...Object.entries(recipe), ...Object.entries(process.env)]
    .filter(([name, value]) => typeof value === "string" && value.length > 3 && SECRET.test(name))
    .map(([, value]) => value as string);
  return {
    project: recipe.project,
    swanlab,
    trackio: {
      space_id: recipe.trackio_space_id,
      bucket_id: recipe.trackio_bucket_id,
      private: recipe.hub_private_repo,
    },
    secrets,
  };
}

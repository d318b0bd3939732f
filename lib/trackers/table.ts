// Which trackers there are: a line each, and what a program registers. The words that a recipe may use are the names
// here (config/values/tracker-names.ts).
import type { Recipe } from "../config/index.js";
import { addTrackerName } from "../config/values/tracker-names.js";
import type { ClientSettings } from "./python/bridge.js";
import type { Tracker } from "./tracker.js";

/** Makes a tracker for a recipe that names it. */
export type TrackerMaker = (recipe: Recipe) => Tracker | Promise<Tracker>;

// what a tracker is made of is loaded when a recipe names it
const client = (name: string): [string, TrackerMaker] => [
  name,
  async (recipe) => new (await import("./python/bridge.js")).PythonTracker(name, clientSettings(recipe)),
];

const CLIENTS = ["wandb", "mlflow", "swanlab", "trackio"];
const TRACKERS = new Map<string, TrackerMaker>([
  [
    "tensorboard",
    async (recipe) =>
      (await import("./tensorboard/tracker.js")).tensorboard(
        process.env["TENSORBOARD_LOGGING_DIR"] ?? recipe.logging_dir ?? undefined,
      ),
  ],
  ...CLIENTS.map(client),
]);
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
      if (named.has(name) || !CLIENTS.includes(name)) throw error;
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

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

const TRACKERS = new Map<string, TrackerMaker>([
  [
    "tensorboard",
    async (recipe) =>
      (await import("./tensorboard/tracker.js")).tensorboard(
        process.env["TENSORBOARD_LOGGING_DIR"] ?? recipe.logging_dir ?? undefined,
      ),
  ],
  client("wandb"),
  client("mlflow"),
  client("swanlab"),
  client("trackio"),
]);
/** Names of keys and variables whose values a message never shows. */
const SECRET = /(token|api_key|secret|password|webhook_url)$/i;
const CLIENTS = ["wandb", "mlflow", "swanlab", "trackio"];

/**
 * Adds a tracker under a name that `report_to` then knows.
 * @param name a word; one that is there already is replaced
 * @example registerTracker("mine", () => new MyTracker());
 */
export function registerTracker(name: string, make: TrackerMaker): void {
  addTrackerName(name);
  TRACKERS.set(name, make);
}

/** The trackers that a recipe names; `all` stands for those whose clients are installed. */
export async function trackersOf(recipe: Recipe): Promise<Tracker[]> {
  const names = new Set<string>();
  for (const name of recipe.report_to)
    for (const one of name === "all" ? await allNames() : [name]) names.add(one);
  return Promise.all(
    [...names].map((name) => {
      const make = TRACKERS.get(name);
      if (make === undefined) throw new Error(`report_to: ${name} was read and is in no table`);
      return make(recipe);
    }),
  );
}

async function allNames(): Promise<string[]> {
  const others = [...TRACKERS.keys()].filter((name) => !CLIENTS.includes(name));
  const { installedClients, trackerPython } = await import("./python/interpreter.js");
  try {
    return [...others, ...installedClients(trackerPython(), CLIENTS)];
  } catch {
    return others; // without a Python no client is installed
  }
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

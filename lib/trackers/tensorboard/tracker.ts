// TensorBoard: event files in logging_dir, with transformers' tags. Nothing of it needs Python; `tensorboard --logdir`
// shows the folder.
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import { makeFolder } from "../../files/make-folder.js";
import { type Artifact, type TrackedRun, type Tracker, tagOf } from "../tracker.js";
import { EventFile, type Value } from "./event-file.js";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** Larger pictures and texts stay where they are. */
const MOST_BYTES = 8 << 20;

/** The tracker of a recipe that names it: `table.ts` asks for it. */
export function makeTracker({ logging_dir }: Recipe): Tracker {
  return tensorboard(process.env["TENSORBOARD_LOGGING_DIR"] ?? logging_dir ?? undefined);
}

/** @param loggingDir the recipe's `logging_dir`; without it a new folder under `output_dir/runs` */
export function tensorboard(loggingDir: string | undefined): Tracker {
  let file: EventFile | undefined;
  return {
    name: "tensorboard",
    begin(run) {
      const dir = run.remembered?.["dir"] ?? loggingDir ?? path.join(run.outputDir, "runs", folderName());
      makeFolder(dir);
      run.remember({ dir });
      file = new EventFile(path.join(dir, fileName()));
      if (run.startStep > 0) file.restart(run.startStep + 1);
      file.write(0, [{ tag: "args/text_summary", text: parameterText(run) }]);
      run.say(`report_to: tensorboard: events in ${dir}; see them with: tensorboard --logdir ${dir}`);
    },
    log(figures, step) {
      const values = Object.entries(figures).map(([name, scalar]): Value => ({ tag: tagOf(name), scalar }));
      file?.write(step, values);
    },
    artifact(found) {
      const value = shownAs(found);
      if (value !== undefined) file?.write(found.step, [value]);
    },
    finish() {
      file?.close();
      file = undefined;
    },
  };
}

/** Pictures and Markdown have a tab; other files have none. */
function shownAs({ path: place }: Artifact): Value | undefined {
  const kind = path.extname(place);
  if (kind !== ".png" && kind !== ".md") return undefined;
  const content = readFileSync(place);
  if (content.length > MOST_BYTES) return undefined;
  const name = path.basename(place, kind);
  if (kind === ".png") return { tag: `figures/${name}`, png: content };
  return { tag: `${name}/text_summary`, text: content.toString("utf8").replace(/^---\n.*?\n---\n/s, "") };
}

/** As transformers' default_logdir(): month, day, time and host. */
function folderName(now = new Date()): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join("-");
  return `${MONTHS[now.getMonth()]}${two(now.getDate())}_${time}_${hostname()}`;
}

function fileName(): string {
  const seconds = Math.floor(Date.now() / 1000);
  // what comes last tells two of a process in one second apart
  const last = process.hrtime.bigint() % 1_000_000n;
  return `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${last}`;
}

/** Indented by four, which is code in Markdown. */
function parameterText({ parameters }: TrackedRun): string {
  return JSON.stringify(parameters, null, 2)
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");
}

// From a run's events to its trackers: who is told what, and that none of them can do a run any harm.
import path from "node:path";
import type { Recipe } from "../config/index.js";
import { withoutSecrets } from "../config/secret.js";
import { messageOf } from "../errors.js";
import type { DomainsEvent, Emit, LogEvent, StepEvent, TrainEvent } from "../events.js";
import { recallJson } from "../files/json-file.js";
import { writeWhole } from "../files/output-file.js";
import { type Of, table, text } from "../files/shape.js";
import type { Ending, TrackedRun, Tracker } from "./tracker.js";

/** What finds a tracker's run again when this one is resumed, in output_dir. */
export const TRACKERS_FILE = "trackers.json";
/** Files that are shown beside the curves. */
const SHOWN = new Set([".png", ".md"]);

const PLACES_SHAPE = table(table(text));
type Places = Of<typeof PLACES_SHAPE>;

/** The trackers of one run. */
export class TrackedEvents {
  readonly #recipe: Recipe;
  readonly #emit: Emit;
  readonly #trackers: Set<Tracker>;
  #facts: Record<string, unknown> = {};
  #before: DomainsEvent | undefined;
  #step = 0;
  #since = { tokens: 0, seconds: 0, waited: 0, memory: 0 };

  /**
   * @param trackers that can be used: `trackersOf` has checked them
   * @param emit takes what a tracker has to say
   */
  constructor(recipe: Recipe, trackers: readonly Tracker[], emit: Emit) {
    this.#recipe = recipe;
    this.#trackers = new Set(trackers);
    this.#emit = emit;
  }

  /** Passes on what an event says. */
  observe(event: TrainEvent): void {
    if (this.#trackers.size === 0) return;
    switch (event.type) {
      case "model": {
        const { trainable, total, device, dtype } = event;
        this.#facts = { num_parameters: total, num_trainable_parameters: trainable, device, dtype };
        break;
      }
      case "begin":
        this.#begin(event.startStep);
        break;
      case "step":
        this.#count(event);
        break;
      case "domains":
        this.#domains(event);
        break;
      case "log":
        this.#log(event);
        break;
      case "file":
        if (SHOWN.has(path.extname(event.path)))
          this.#each((tracker) =>
            tracker.artifact?.({ path: event.path, what: event.what, step: this.#step }),
          );
        break;
    }
  }

  /** The run is over: waits until every tracker has what it was told, or has given up. */
  async finish(ending: Ending): Promise<void> {
    await Promise.all(
      [...this.#trackers].map(async (tracker) => {
        try {
          await tracker.finish(ending);
        } catch (error) {
          this.#drop(tracker, error);
        }
      }),
    );
    this.#trackers.clear();
  }

  #begin(startStep: number): void {
    this.#step = startStep;
    const known = startStep > 0 ? readPlaces(this.#recipe.output_dir) : {};
    const places: Places = {};
    const parameters = { ...withoutSecrets(this.#recipe), ...this.#facts };
    this.#each((tracker) => {
      const run: TrackedRun = {
        outputDir: this.#recipe.output_dir,
        name: this.#recipe.run_name ?? undefined,
        parameters,
        startStep,
        remembered: known[tracker.name],
        remember: (place) => {
          places[tracker.name] = { ...place };
          writePlaces(this.#recipe.output_dir, { ...known, ...places });
        },
        say: (text, level = "info") => this.#say(text, level),
      };
      tracker.begin(run);
    });
    if (this.#before !== undefined && startStep === 0) this.#domains(this.#before);
    this.#before = undefined;
  }

  #count({ step, tokens, tokensPerSecond, dataWaitSeconds, memoryBytes }: StepEvent): void {
    this.#step = step;
    const since = this.#since;
    since.tokens += tokens;
    since.seconds += tokens / tokensPerSecond;
    since.waited += dataWaitSeconds;
    since.memory = Math.max(since.memory, memoryBytes);
  }

  #log({ entry }: LogEvent): void {
    const { step = this.#step, ...figures } = entry;
    const since = this.#since;
    if ("loss" in figures && since.seconds > 0) {
      figures["perf/tokens_per_second"] = since.tokens / since.seconds;
      figures["perf/memory_gb"] = since.memory / 1e9;
      figures["perf/data_wait_seconds"] = since.waited;
      this.#since = { tokens: 0, seconds: 0, waited: 0, memory: 0 };
    }
    this.#each((tracker) => tracker.log(figures, step));
  }

  /** Held-out text before and after: two points of one curve. */
  #domains(event: DomainsEvent): void {
    const after = event.rows.filter(({ model }) => model === "after");
    const isBefore = after.length === 0;
    if (isBefore && this.#before === undefined) {
      this.#before = event; // the trackers begin later
      return;
    }
    const figures: Record<string, number> = {};
    for (const { data, score } of isBefore ? event.rows : after) {
      figures[`domains/${data}/loss`] = score.loss;
      figures[`domains/${data}/perplexity`] = score.perplexity;
      figures[`domains/${data}/bits_per_character`] = score.bitsPerCharacter;
      figures[`domains/${data}/accuracy`] = score.accuracy;
    }
    this.#each((tracker) => tracker.log(figures, this.#step));
  }

  #each(tell: (tracker: Tracker) => void): void {
    for (const tracker of this.#trackers) {
      try {
        tell(tracker);
      } catch (error) {
        this.#drop(tracker, error);
      }
    }
  }

  #drop(tracker: Tracker, error: unknown): void {
    this.#trackers.delete(tracker);
    const text = `report_to: ${tracker.name}: ${messageOf(error)}; nothing more is reported to it, the run goes on`;
    this.#say(text, "warning");
  }

  /** A tracker speaks when nobody waits for it: a listener that throws then has nobody who could be told. */
  #say(text: string, level: "info" | "warning"): void {
    try {
      this.#emit({ type: "message", level, text });
    } catch {
      // the run's own events reach the same listener, and there its error ends the run
    }
  }
}

function readPlaces(outputDir: string): Places {
  // damaged: each tracker begins a new run
  return recallJson(path.join(outputDir, TRACKERS_FILE), PLACES_SHAPE) ?? {};
}

function writePlaces(outputDir: string, places: Places): void {
  writeWhole(path.join(outputDir, TRACKERS_FILE), `${JSON.stringify(places, null, 2)}\n`);
}

// `qwen-pt train RECIPE [KEY=VALUE ...]`: shows a run's events and turns signals into its abort.
// The run itself is train(), on its own thread; nothing here computes.
import { existsSync } from "node:fs";
import path from "node:path";
import { maskedOverride } from "../../config/secret.js";
import { formatSummary } from "../../data/blocks/summary.js";
import { type LaunchPlan, launch, launchPlan } from "../../distributed/launch.js";
import { scoreTable } from "../../evaluate/score-table.js";
import type { TrainEvent, TrainResult } from "../../events.js";
import { jsonLine } from "../../files/json.js";
import { spokenLanguage, translated } from "../../languages/index.js";
import { metricsTable } from "../../train/output/results.js";
import { count } from "../../words.js";
import { neededRecipe, readArguments, shellQuoted } from "../terminal/arguments.js";
import { DownloadLine } from "../terminal/download-line.js";
import { printable } from "../terminal/format.js";
import type { CommandMain, Host, Output, SignalName } from "../terminal/host.js";
import { banner, Progress, parameterLine } from "../terminal/progress.js";
import { programOf, type SignalWatch, watchSignals } from "../terminal/signals.js";

const EXAMPLE_LENGTH = 160;

/** What the command needs from the rest of the package; tests hand it their own. */
export interface Training {
  train(
    recipe: string,
    options: { overrides: string[]; signal: AbortSignal; onEvent: (event: TrainEvent) => void },
  ): Promise<TrainResult>;
  /** Whether the recipe clears its output folder, and so does not resume by itself. */
  overwrites(recipe: string, overrides: string[]): boolean;
  /** Events as lines of JSON on standard output, and what is for people on standard error. */
  readonly json?: boolean;
}

export const run: CommandMain = async (args, host) => {
  const found = readArguments("train", args);
  const recipe = neededRecipe("train", found);
  const [{ loadRecipe }, { train }, { neededAddon }, { countCards, rankPlace }] = await Promise.all([
    import("../../config/index.js"),
    import("../../train/index.js"),
    import("../../torch/native.js"),
    import("../../distributed/index.js"),
  ]);
  const { nproc_per_node, use_cpu } = loadRecipe(recipe, found.overrides, { env: host.env }).recipe;
  const json = found.flags.has("json");
  const isAsked = nproc_per_node !== null || host.env["WORLD_SIZE"] !== undefined;
  const plan = launchPlan(host.env, nproc_per_node, isAsked || use_cpu ? 0 : countCards());
  if (plan !== undefined) return startRanks(plan, args, json ? { ...host, out: SILENT } : host);
  const place = rankPlace(host.env);
  const overwrites = (file: string, overrides: string[]) =>
    loadRecipe(file, overrides, { env: host.env }).recipe.overwrite_output_dir;
  const checkedTrain: typeof train = (...args) => {
    neededAddon(); // before any data is read: a package that was never set up says so at once
    return train(...args);
  };
  const shown = place === undefined || place.rank === 0 ? host : { ...host, out: SILENT };
  try {
    return await runTraining(recipe, found.overrides, shown, { train: checkedTrain, overwrites, json });
  } catch (error) {
    if ((error as Error).name === "PeerError") return 1; // rank 0 says why
    throw error;
  }
};

/** Rank 0 alone shows what a run does. */
const SILENT: Output = { write: () => true };

/** Starts the processes of a run and waits for them; signals go to the first, which stops all. */
function startRanks(plan: LaunchPlan, args: readonly string[], host: Host): Promise<number> {
  const { perNode, nodes, node, address } = plan;
  const where = nodes > 1 ? ` on machine ${node} of ${nodes}, rank 0 at ${address}` : "";
  host.out.write(
    `${translated(`starting ${perNode} process${perNode === 1 ? "" : "es"}${where}`, "training")}\n`,
  );
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  return launch(plan, {
    command: process.execPath,
    args: [process.argv[1] as string, "train", ...args, "--lang", spokenLanguage()],
    env: host.env,
    say: (line) => void host.err.write(`${line}\n`),
    onSignal: (listener) => {
      const listeners = names.map((name) => [name, () => listener(name)] as const);
      for (const [name, heard] of listeners) host.on(name, heard);
      return () => {
        for (const [name, heard] of listeners) host.off(name, heard);
      };
    },
  });
}

/** Runs a recipe to its end, or to the first signal. Resolves to the exit code: 0, or 128 and the signal's number. */
export async function runTraining(
  recipe: string,
  overrides: string[],
  host: Host,
  training: Training,
): Promise<number> {
  const progress = new Progress({ out: training.json ? host.err : host.out, env: host.env });
  const watch = watchSignals({
    host,
    onFirst: (cause) => progress.print(firstSignal(cause)),
    onSecond: () => progress.stop(),
  });
  try {
    const overwrites = training.overwrites(recipe, overrides);
    const onEvent = training.json
      ? (event: TrainEvent) => host.out.write(jsonLine(event))
      : eventPrinter(progress);
    const result = await training.train(recipe, { overrides, signal: watch.signal, onEvent });
    progress.stop();
    const program = programOf(host.env);
    if (!result.interrupted) {
      if (!training.json) progress.print(`next: ${nextCommand(program, recipe, overrides, result)}`);
      return 0;
    }
    progress.print(howToResume(program, recipe, overrides, result, overwrites));
    return watch.exitCode ?? 1;
  } catch (error) {
    progress.stop();
    if (!stoppedEarly(watch, error)) throw error;
    progress.print("interrupted before the first step: nothing was saved");
    return watch.exitCode ?? 1;
  } finally {
    progress.stop();
    watch.stop();
  }
}

function stoppedEarly(watch: SignalWatch, error: unknown): boolean {
  return watch.signal.aborted && error instanceof Error && error.name === "AbortError";
}

function firstSignal(cause: SignalName | "parent"): string {
  const why = {
    SIGINT: "Ctrl-C",
    SIGTERM: "SIGTERM",
    SIGHUP: "SIGHUP (the terminal is gone)",
    parent: "the parent process is gone",
  }[cause];
  const again = cause === "SIGINT" ? "; press Ctrl-C again to exit immediately" : "";
  return `${why}: finishing the running micro-step, then saving the last finished step${again}`;
}

/** Prints events as they come. The trainable count arrives before the banner that shows it. */
function eventPrinter(progress: Progress): (event: TrainEvent) => void {
  let trainable = 0;
  let onProcessor = true;
  const download = new DownloadLine(progress);
  return (event) => {
    switch (event.type) {
      case "message":
        progress.print(
          event.level === "warning" ? progress.colors.yellow(`warning: ${event.text}`) : event.text,
        );
        break;
      case "download":
        download.show(event);
        break;
      case "data":
        progress.print(`${formatSummary(event.summary)}\n${exampleLine(event.example)}`);
        break;
      case "model":
        trainable = event.trainable;
        onProcessor = event.products !== undefined;
        progress.print(parameterLine(event.trainable, event.total));
        progress.print(`device: ${event.device}, weights: ${event.dtype}`);
        if (event.products !== undefined) progress.print(event.products);
        if (event.attention !== undefined) progress.print(event.attention);
        break;
      case "begin":
        progress.print(banner(event, trainable));
        progress.begin(event, onProcessor);
        break;
      case "microStep":
        progress.onMicroStep(event);
        break;
      case "step":
        progress.onStep(event);
        break;
      case "evaluate":
        progress.onEvaluate(event);
        break;
      case "domains":
        progress.print(`held-out text by domain:\n${scoreTable(event.rows)}`);
        break;
      case "log":
        progress.onLog(event);
        break;
      case "checkpoint":
        progress.print(`checkpoint of step ${event.step} saved in ${event.path}`);
        break;
      case "file":
        progress.print(`${event.what} saved in ${event.path}`);
        break;
      case "end":
        progress.stop();
        progress.print(endLines(event.result));
        break;
    }
  };
}

function exampleLine(example: { ids: number[]; text: string }): string {
  const text = example.text.slice(0, EXAMPLE_LENGTH);
  const more = example.text.length > EXAMPLE_LENGTH ? "..." : "";
  return `first block (${count(example.ids.length)} tokens): ${printable(text)}${more}`;
}

function endLines(result: TrainResult): string {
  const lines = result.interrupted ? [] : metricsTable("train", result.metrics);
  if (result.skippedSteps > 0) {
    const steps = result.skippedSteps === 1 ? "1 step was" : `${count(result.skippedSteps)} steps were`;
    lines.push(`warning: ${steps} not applied because the loss or a gradient was not finite`);
  }
  lines.push(`waited for data ${waited(result.dataWaitShare)} of the time`);
  const state = result.interrupted ? "interrupted" : "finished";
  lines.push(
    `${state} after ${count(result.steps)} ${result.steps === 1 ? "step" : "steps"}: ${result.outputDir}`,
  );
  return lines.join("\n");
}

/** A share in per cent; less than a tenth of one is not told apart. */
function waited(share: number): string {
  return share < 0.001 ? "less than 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

/** The command that goes on where this run stopped. */
function howToResume(
  program: string,
  recipe: string,
  overrides: string[],
  result: TrainResult,
  overwrites: boolean,
): string {
  if (result.checkpoint === undefined) return "no step was finished: there is nothing to resume from";
  const kept = overrides.filter((override) => !override.startsWith("resume_from_checkpoint="));
  const explicit = overwrites || kept.length < overrides.length;
  const parts = ["train", recipe, ...kept.map(maskedOverride)];
  if (explicit) parts.push(`resume_from_checkpoint=${result.checkpoint}`);
  return `resume with: ${program} ${parts.map(shellQuoted).join(" ")}`;
}

/** The command that shows what a finished run has made of the model. */
function nextCommand(
  program: string,
  recipe: string,
  overrides: string[],
  { outputDir }: TrainResult,
): string {
  const isAdapter = existsSync(path.join(outputDir, "adapter_config.json"));
  const key = isAdapter ? "adapter_name_or_path" : "model_name_or_path";
  const kept = isAdapter ? overrides.filter((one) => one.startsWith("model_name_or_path=")) : [];
  const parts = ["chat", recipe, ...kept, `${key}=${outputDir}`, "--prompt", "..."];
  return `${program} ${parts.map(shellQuoted).join(" ")}`;
}

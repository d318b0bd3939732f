// `qwen-pt estimate RECIPE [KEY=VALUE ...] [--json]`: what training takes in memory and time. The formulas and the
// measurement are lib/train's.

import type { Recipe } from "../../config/index.js";
import type { FamilyModel } from "../../models/index.js";
import type { MemoryEstimate } from "../../train/index.js";
import { count, duration, memory } from "../../words.js";
import { neededRecipe, readArguments } from "../terminal/arguments.js";
import type { CommandMain } from "../terminal/host.js";
import { Progress } from "../terminal/progress.js";
import { ShareLine } from "../terminal/share-line.js";

const ROWS = [
  ["runtime", "Node, libtorch, tokenizer"],
  ["weights", "weights"],
  ["gradients", "gradients"],
  ["optimizer", "optimizer's state"],
  ["activations", "activations"],
  ["loss", "head and loss"],
  ["total", "peak, all in all"],
] as const;

const MODES = [false, "selective", true] as const;
const NAMES = new Map<unknown, string>([
  [false, "keeping all"],
  ["selective", "selective"],
  [true, "whole blocks again"],
]);

export const run: CommandMain = async (args, host) => {
  const found = readArguments("estimate", args);
  const file = neededRecipe("estimate", found);
  const { loadRecipe } = await import("../../config/index.js");
  const { recipe } = loadRecipe(file, found.overrides, { env: host.env });
  const train = await import("../../train/index.js");
  const { modelConfig } = await import("../../assembly/index.js");
  const { fetchModel } = await import("../../hub/index.js");
  const folder = await fetchModel(recipe.model_name_or_path, { keys: recipe, weights: false });
  const shaped = (of: Recipe): FamilyModel =>
    train.shapesOf(
      of,
      modelConfig({ ...of, model_name_or_path: folder }, () => {}),
    );
  const model = shaped(recipe);
  const available = train.availableMemory();
  const chosen = train.chooseCheckpointing(model, recipe, available);
  const { length, parts } = await measure(
    recipe,
    model,
    folder,
    new Progress({ out: host.err, env: host.env }),
  );
  const computing = train.computingOf(recipe, model.config.dtype ?? "float32");
  const products = train.productsLine(computing);
  const slow = train.slowness(computing);
  const modes = MODES.map((checkpointing) => {
    const bytes = train.estimateMemory(model, recipe, checkpointing);
    const secondsPerStep = train.estimateStep(model, recipe, checkpointing, parts);
    return {
      checkpointing,
      chosen: checkpointing === chosen,
      bytes,
      fits: bytes.total <= available,
      secondsPerStep,
      seconds: length && secondsPerStep * length.steps,
    };
  });
  const instead = modes.some(({ fits }) => fits) ? [] : train.smallerWays(recipe, shaped);
  if (found.flags.has("json")) {
    const steps = length?.steps;
    const stepsAreExact = length?.exact;
    host.out.write(
      `${JSON.stringify({ available, steps, stepsAreExact, products, modes, instead }, null, 2)}\n`,
    );
    return 0;
  }
  const proposal = instead.map(({ line, bytes }) => `${line} would take ${memory(bytes)}`).join(", ");
  const lines = [products, ...(slow === undefined ? [] : [`warning: ${slow}`])];
  host.out.write(
    `${[...lines, ...tableOf(recipe, train.tokensOfRow(recipe), available, length, modes), ...(proposal === "" ? [] : [`it does not fit: ${proposal}`])].join("\n")}\n`,
  );
  return 0;
};

/** The data's steps and this machine's speed, both of which take seconds: a line on a terminal says how far it is. */
async function measure(recipe: Recipe, model: FamilyModel, folder: string, progress: Progress) {
  const [train, { loadTokenizer }] = await Promise.all([
    import("../../train/index.js"),
    import("../../data/index.js"),
  ]);
  const line = new ShareLine(progress);
  const measuring = "measuring this machine";
  try {
    progress.status("counting the data's tokens");
    const length = await train.estimateSteps(recipe, () => loadTokenizer(folder, recipe));
    progress.status(measuring);
    const parts = train.measureParts(model, recipe, (done, total) => line.show(measuring, done, total));
    return { length, parts };
  } finally {
    line.stop();
  }
}

interface Column {
  readonly checkpointing: unknown;
  readonly chosen: boolean;
  readonly bytes: MemoryEstimate;
  readonly fits: boolean;
  readonly secondsPerStep: number;
  readonly seconds: number | undefined;
}

/** The lines for people, a column for each mode. */
function tableOf(
  recipe: Recipe,
  rowTokens: number,
  available: number,
  length: { steps: number; exact: boolean } | undefined,
  modes: readonly Column[],
): string[] {
  const line = (label: string, cells: string[]) =>
    `${label.padEnd(28)}${cells.map((cell) => cell.padStart(22)).join("")}`;
  const processes = recipe.nproc_per_node ?? 1;
  const each = processes > 1 ? `, each of ${processes}` : "";
  const steps = length && `${length.exact ? "" : "about "}${count(length.steps)} steps`;
  return [
    line(
      `${recipe.per_device_train_batch_size} x ${rowTokens} tokens${each === "" ? " at a time" : each}`,
      modes.map(({ checkpointing, chosen }) => `${NAMES.get(checkpointing)}${chosen ? " *" : ""}`),
    ),
    ...ROWS.map(([key, label]) =>
      line(
        label,
        modes.map(({ bytes }) => memory(bytes[key])),
      ),
    ),
    line(
      `fits into ${memory(available)}`,
      modes.map(({ fits }) => (fits ? "yes" : "no")),
    ),
    line(
      "a step, on this processor",
      modes.map(({ secondsPerStep }) => `${secondsPerStep.toPrecision(3)} s`),
    ),
    ...(steps === undefined
      ? []
      : [
          line(
            steps,
            modes.map(({ seconds }) => duration(seconds ?? Number.NaN)),
          ),
        ]),
    `* what ${recipe.gradient_checkpointing === null ? "a run chooses by memory" : "the recipe says"}${steps === undefined ? "; how many steps, the data does not tell cheaply: set max_steps" : ""}`,
  ];
}

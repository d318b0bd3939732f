// `qwen-pt estimate RECIPE [KEY=VALUE ...] [--json]`: what training takes in memory. The formulas are lib/train's.
import { neededRecipe, readArguments } from "./arguments.js";
import type { Run } from "./commands.js";
import { memory } from "./format.js";

const ROWS = [
  ["runtime", "Node, libtorch, tokenizer"],
  ["weights", "weights"],
  ["gradients", "gradients"],
  ["optimizer", "AdamW's moments"],
  ["activations", "activations"],
  ["loss", "head and loss"],
  ["total", "peak, all in all"],
] as const;

export const run: Run = async (args, host) => {
  const found = readArguments("estimate", args, [], ["json"]);
  const file = neededRecipe("estimate", found);
  const { loadRecipe } = await import("../config/index.js");
  const { recipe } = loadRecipe(file, found.overrides, { env: host.env });
  const { availableMemory, estimateMemory, modelConfig, shapesOf } = await import("../train/index.js");
  const { fetchModel } = await import("../hub/index.js");
  const folder = await fetchModel(recipe.model_name_or_path, { keys: recipe, weights: false });
  const model = shapesOf(
    recipe,
    modelConfig({ ...recipe, model_name_or_path: folder }, () => {}),
  );
  const available = availableMemory();
  const modes = [false, true].map((checkpointing) => {
    const bytes = estimateMemory(model, recipe, checkpointing);
    return {
      checkpointing,
      chosen: checkpointing !== recipe.disable_gradient_checkpointing,
      bytes,
      fits: bytes.total <= available,
    };
  });
  if (found.flags.has("json")) {
    host.out.write(`${JSON.stringify({ available, modes }, null, 2)}\n`);
    return 0;
  }
  const line = (label: string, cells: string[]) =>
    `${label.padEnd(28)}${cells.map((cell) => cell.padStart(22)).join("")}`;
  const lines = [
    line(
      `${recipe.per_device_train_batch_size} x ${recipe.cutoff_len} tokens at a time`,
      modes.map(
        ({ checkpointing, chosen }) =>
          `${checkpointing ? "checkpointing" : "keeping all"}${chosen ? " *" : ""}`,
      ),
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
    "* what the recipe says",
  ];
  host.out.write(`${lines.join("\n")}\n`);
  return 0;
};

// What the keys of evaluation mean together: when it happens, by which metric, and what needs it. Part of apply.ts.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";

/** Resolves do_eval, eval_steps and the metric as transformers does, and refuses what contradicts itself. */
export function evaluationRules(checked: Checked, setting: Setting): void {
  const { recipe } = checked;
  if (recipe.eval_strategy !== "no") recipe.do_eval = true;
  if (recipe.eval_strategy === "steps" && !recipe.eval_steps) recipe.eval_steps = recipe.logging_steps;
  const follows =
    recipe.lr_scheduler_type === "reduce_lr_on_plateau" || recipe.lr_scheduler_type === "greedy";
  if (recipe.load_best_model_at_end || follows) recipe.metric_for_best_model ??= "loss";
  if (recipe.metric_for_best_model !== null)
    recipe.greater_is_better ??= !recipe.metric_for_best_model.endsWith("loss");
  const fail = (key: string, why: string): never => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  if (recipe.eval_strategy === "no") {
    const needs = "needs evaluations while it trains; set eval_strategy: steps or epoch";
    if (follows) fail("lr_scheduler_type", `${recipe.lr_scheduler_type} ${needs}`);
    if (recipe.early_stopping_steps !== null) fail("early_stopping_steps", needs);
    if (recipe.save_strategy === "best") fail("save_strategy", `best ${needs}`);
  }
  if (recipe.metric_for_best_model === null) {
    const needs = "needs a metric; set metric_for_best_model: loss";
    if (recipe.early_stopping_steps !== null) fail("early_stopping_steps", needs);
    if (recipe.save_strategy === "best") fail("save_strategy", `best ${needs}`);
  }
  if (recipe.bf16_full_eval && recipe.fp16_full_eval)
    fail("fp16_full_eval", "bf16_full_eval and fp16_full_eval exclude each other; keep one of them");
  bestModel(checked, fail);
}

/** The best model can only be loaded if every evaluation that may be the best has a checkpoint. */
function bestModel({ recipe }: Checked, fail: (key: string, why: string) => never): void {
  const { load_best_model_at_end, eval_strategy, save_strategy, eval_steps, save_steps } = recipe;
  if (!load_best_model_at_end || save_strategy === "best") return;
  if (eval_strategy !== save_strategy)
    fail(
      "load_best_model_at_end",
      `needs eval_strategy (${eval_strategy}) and save_strategy (${save_strategy}) to be the same`,
    );
  if (eval_strategy !== "steps" || eval_steps === null) return;
  const multiple =
    save_steps < 1 && eval_steps < 1
      ? (save_steps * 1e6) % (eval_steps * 1e6) === 0
      : save_steps >= 1 && eval_steps >= 1 && save_steps % eval_steps === 0;
  if (!multiple)
    fail(
      "load_best_model_at_end",
      `needs save_steps (${save_steps}) to be a multiple of eval_steps (${eval_steps})`,
    );
}

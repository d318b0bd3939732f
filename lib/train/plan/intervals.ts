// When to log, to evaluate and to save: the flow of transformers' trainer at the end of a step and of an epoch.
import type { Recipe } from "../../config/index.js";
import type { Plan } from "./plan.js";

/** What has just ended. An epoch's end, and a run's, is the end of a step first. */
export type Moment = "step" | "epoch";

/** What is to be done at a moment. */
export interface Due {
  log: boolean;
  evaluate: boolean;
  save: boolean;
}

/** What is to be done, in this order. With `save_strategy: best` an evaluation decides about saving. */
export function dueAfter(
  moment: Moment,
  recipe: Recipe,
  plan: Plan,
  { step, epoch }: { step: number; epoch: number },
): Due {
  const { logging_strategy, eval_strategy, save_strategy, eval_delay } = recipe;
  if (moment === "epoch") {
    return {
      log: logging_strategy === "epoch",
      evaluate: eval_strategy === "epoch" && eval_delay <= epoch,
      save: save_strategy === "epoch",
    };
  }
  const every = (steps: number): boolean => step % steps === 0;
  const isLast = step >= plan.totalSteps;
  return {
    log: (step === 1 && recipe.logging_first_step) || (logging_strategy === "steps" && every(plan.logEvery)),
    evaluate: eval_strategy === "steps" && eval_delay <= step && (isLast || every(plan.evalEvery)),
    save: save_strategy === "steps" && (isLast || every(plan.saveEvery)),
  };
}

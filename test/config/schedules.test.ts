// lr_scheduler_kwargs: what each schedule takes, and the line that a mistake is answered with.
import { describe, expect, test } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";

const load = (keys: RecipeInput) => resolveRecipe({ model_name_or_path: "m", dataset: "d", ...keys });

describe("lr_scheduler_kwargs", () => {
  test("comes as a mapping or as its JSON, null standing for a default", () => {
    const lr_scheduler_type = "cosine_with_min_lr";
    const mapping = load({ lr_scheduler_type, lr_scheduler_kwargs: { min_lr: 1e-5, num_cycles: null } });
    expect(mapping.recipe.lr_scheduler_kwargs).toEqual({ min_lr: 1e-5 });
    const text = load({ lr_scheduler_type, lr_scheduler_kwargs: '{"min_lr": 1e-5}' });
    expect(text.recipe.lr_scheduler_kwargs).toEqual({ min_lr: 1e-5 });
  });

  test.each<[RecipeInput["lr_scheduler_type"], Record<string, unknown> | string, string]>([
    ["linear", { num_cycles: 2 }, "linear has no setting num_cycles; it has none"],
    ["cosine", { cycles: 2 }, "cosine has no setting cycles; choose from num_cycles"],
    ["cosine", { num_cycles: "2" }, 'num_cycles: expected a number, received "2"'],
    ["polynomial", { lr_end: 1 }, "lr_end (1) must be below learning_rate (0.00005)"],
    ["inverse_sqrt", { timescale: 0 }, "timescale: expected a number above 0, received 0"],
    [
      "cosine_with_min_lr",
      {},
      "needs min_lr (a rate) or min_lr_rate (a share of learning_rate), and has neither",
    ],
    ["cosine_warmup_with_min_lr", { min_lr: 0, min_lr_rate: 0 }, "not both"],
    ["warmup_stable_decay", { num_decay_steps: 1.5 }, "expected an integer, at least 0, received 1.5"],
    [
      "warmup_stable_decay",
      { decay_type: "sqrt" },
      'expected one of linear, cosine, 1-sqrt, received "sqrt"',
    ],
    ["cosine", "num_cycles: 2", 'expected a mapping, received "num_cycles: 2"'],
  ])("%s %j", (lr_scheduler_type, lr_scheduler_kwargs, wanted) => {
    expect(() => load({ lr_scheduler_type, lr_scheduler_kwargs })).toThrow(wanted);
  });

  test("of a constant rate is named as idle", () => {
    const { notes } = load({ lr_scheduler_type: "constant", lr_scheduler_kwargs: { power: 1 } });
    expect(notes.join()).toContain("lr_scheduler_kwargs has no effect with lr_scheduler_type: constant");
  });
});

// A toy optimizer comes in through the public door: registered by its word, chosen by a recipe, trained with, estimated,
// saved and resumed, without a line changed anywhere else.
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { optimizerOf } from "../../../lib/assembly/optimizer.js";
import { readConfig } from "../../../lib/models/index.js";
import {
  type GroupSettings,
  type OptimizerKind,
  registerOptimizer,
  type StateForms,
  StatefulOptimizer,
  type TensorForm,
  type UpdatedParameter,
} from "../../../lib/public/optim.js";
import { loadSafetensors, scope } from "../../../lib/torch/index.js";
import { estimateMemory, shapesOf } from "../../../lib/train/estimate/memory.js";
import { loaded, only, type Ran, run, stopIn, weightsFile } from "../runs.js";

const forms = ({ shape, dtype }: TensorForm): StateForms => ({ votes: { shape, dtype } });

/** signSGD with majority vote over the steps so far (Bernstein et al. 2018, arXiv:1802.04434). */
class SignVote extends StatefulOptimizer {
  protected update(parts: readonly UpdatedParameter[], { learningRate }: GroupSettings): void {
    for (const { parameter, gradient, state } of parts) {
      const votes = state["votes"]?.add_(gradient.sign());
      parameter.sub_(votes?.sign().mul(learningRate) ?? 0);
    }
  }
}

const signVote: OptimizerKind = {
  state: forms,
  make: (groups, { learningRate }) => new SignVote(groups, learningRate, forms),
};
registerOptimizer("sign_vote", signVote);

const KEYS = { optim: "sign_vote", max_steps: 4, save_steps: 2, learning_rate: 1e-3 };
const bytes = ({ dir }: Ran): string => readFileSync(weightsFile(dir)).toString("base64");

describe("a registered optimizer", () => {
  it("trains by a recipe, is saved by name and resumes bit for bit", async () => {
    const whole = await run(KEYS);
    const losses = only(whole.events, "step").map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan(losses[0] as number);
    scope(() => {
      const saved = loadSafetensors(path.join(whole.dir, "checkpoint-2", "optimizer.safetensors"));
      expect([...saved.keys()].every((name) => name.endsWith(".votes"))).toBe(true);
      // of A none yet: B was zero when its gradient was computed
      expect([...saved.values()].some((votes) => Number(votes.abs().max().item()) > 0)).toBe(true);
    });
    const first = await run(KEYS, stopIn(3, 1));
    expect(first.result).toMatchObject({ interrupted: true, steps: 2 });
    const second = await run({ ...KEYS, output_dir: first.dir, overwrite_output_dir: false });
    expect(bytes(second)).toBe(bytes(whole));
  });

  it("is known to the estimate", () => {
    const { recipe } = loaded({ ...KEYS, finetuning_type: "full" });
    const shapes = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    const of = (optim: string) => estimateMemory(shapes, { ...recipe, optim }, true).optimizer;
    expect(of("sign_vote")).toBe(of("adamw_torch") / 2);
  });

  it("leaves the words of others alone", () => {
    expect(() => registerOptimizer("adamw_torch", signVote)).toThrow('an optimizer "adamw_torch" already');
    expect(optimizerOf(loaded(KEYS).recipe).kind).toBe(signVote);
  });
});

it("an optimizer that there is not ends a run before its data is read", async () => {
  await expect(run({ optim: "ademamix", dataset_dir: "/nowhere" })).rejects.toThrow(
    /^optim: ademamix is not available; choose one of adamw_torch_fused, /,
  );
});

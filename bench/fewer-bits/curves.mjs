// Training curves over bases in fewer bits, of the 0.6B shape: 200 LoRA steps of 64 tokens of the essays over each base, random
// weights to begin with, and how far means of ten steps' losses are from those over 16 bits.
//   node bench/fewer-bits/curves.mjs [--quick]
// A bench that was interrupted goes on: a training that is finished is not run again. --quick: 20 steps.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { BASES } from "../harness/bases.mjs";
import { Rows } from "../harness/rows.mjs";
import { cli, ensureModel, root, table, tutorialRecipe } from "../harness/subject.mjs";

function curveOf(folder, model, name, steps) {
  process.stderr.write(`curves: ${name}\n`);
  const output = path.join(folder, "out-curves");
  const recipe = path.join(folder, "curves.yaml");
  const keys = {
    cutoff_len: 64,
    gradient_accumulation_steps: 1,
    learning_rate: 1e-3,
    logging_steps: 10,
    max_steps: steps,
    save_strategy: '"no"',
  };
  writeFileSync(recipe, tutorialRecipe(model, output, { ...keys, ...BASES[name] }));
  const ended = spawnSync(process.execPath, [cli, "train", recipe], { encoding: "utf8" });
  if (ended.status !== 0) throw new Error(`${name}: ${ended.stderr}`);
  const state = JSON.parse(readFileSync(path.join(output, "trainer_state.json"), "utf8"));
  return state.log_history.flatMap(({ loss }) => loss ?? []);
}

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const folder = path.join(root, ".bench");
mkdirSync(folder, { recursive: true });
const model = ensureModel(folder, await ensureReference());
const steps = values.quick ? 20 : 200;
const rows = new Rows(folder, "curves", { steps });
const curves = {};
for (const name of Object.keys(BASES))
  curves[name] = await rows.row(name, () => curveOf(folder, model, name, steps));
rows.clear();
const [exact] = Object.values(curves);
table([
  ["base", "first ten", "last ten", "farthest from 16 bits"],
  ...Object.entries(curves).map(([name, curve]) => [
    name,
    curve[0].toFixed(4),
    curve.at(-1).toFixed(4),
    `${(100 * Math.max(...curve.map((loss, i) => Math.abs(loss / exact[i] - 1)))).toFixed(3)} %`,
  ]),
]);

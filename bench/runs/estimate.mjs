// What `qwen-pt estimate` says beside what is measured: peak memory and time of LoRA with each mode of gradient
// checkpointing, and of full training with whole blocks computed again, 1,024 tokens, two micro-steps of one step.
//   node bench/runs/estimate.mjs [--quick]
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { measure } from "../harness/processes.mjs";
import { cli, ensureModel, gigabytes, root, table, tutorialRecipe } from "../harness/subject.mjs";

const FULL = { finetuning_type: "full", learning_rate: 1e-5 };
const CASES = [
  { name: "LoRA, keeping all", keys: { gradient_checkpointing: false } },
  { name: "LoRA, selective", keys: { gradient_checkpointing: "selective" } },
  { name: "LoRA, whole blocks again", keys: { gradient_checkpointing: true } },
  { name: "full, whole blocks again", keys: { ...FULL, gradient_checkpointing: true } },
];

/** What the command says of the recipe's own mode. */
function predicted(recipe, env) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "estimate", recipe, "--json"], {
    encoding: "utf8",
    env,
  });
  if (status !== 0) throw new Error(`estimate ${recipe}: ${stderr}`);
  const { modes } = JSON.parse(stdout);
  return modes.find(({ chosen }) => chosen);
}

/** @param {{folder: string, quick?: boolean}} options `quick`: without full training */
export async function run({ folder, quick = false }) {
  mkdirSync(folder, { recursive: true });
  const model = ensureModel(folder, await ensureReference());
  const env = { ...process.env, QWEN_PT_CACHE: path.join(folder, "cache") };
  const output = path.join(folder, "out-estimate");
  const recipe = path.join(folder, "estimate.yaml");
  const log = path.join(folder, "estimate.log");
  const found = [];
  for (const { name, keys } of quick ? CASES.slice(0, 3) : CASES) {
    process.stderr.write(`estimate: ${name}\n`);
    rmSync(output, { recursive: true, force: true });
    writeFileSync(
      recipe,
      tutorialRecipe(model, output, {
        max_steps: 1,
        max_samples: 60,
        overwrite_cache: false,
        preprocessing_num_workers: 1,
        save_strategy: "no",
        ...keys,
      }),
    );
    const said = predicted(recipe, env);
    const ran = await measure(process.execPath, [cli, "train", recipe], { cwd: folder, env, log });
    if (ran.status !== 0) throw new Error(`${name} failed: see ${log}`);
    const { train_runtime: seconds } = JSON.parse(
      readFileSync(path.join(output, "train_results.json"), "utf8"),
    );
    rmSync(output, { recursive: true, force: true });
    found.push({
      name,
      predictedBytes: said.bytes.total,
      peakBytes: ran.peakBytes,
      memoryRatio: said.bytes.total / ran.peakBytes,
      predictedSeconds: said.secondsPerStep,
      seconds,
      timeRatio: said.secondsPerStep / seconds,
    });
  }
  table([
    ["a step of 2 x 1,024 tokens", "memory said", "measured", "ratio", "time said", "measured", "ratio"],
    ...found.map((one) => [
      one.name,
      gigabytes(one.predictedBytes),
      gigabytes(one.peakBytes),
      one.memoryRatio.toFixed(2),
      `${one.predictedSeconds.toFixed(1)} s`,
      `${one.seconds.toFixed(1)} s`,
      one.timeRatio.toFixed(2),
    ]),
  ]);
  return { found };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: path.join(root, ".bench"), quick: values.quick });
}

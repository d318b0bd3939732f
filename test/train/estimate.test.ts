// What a run takes in memory: the prediction against the peak of a process that trains the example model, and against
// arithmetic by hand; what is left in a container; the warning.
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dispatch } from "../../lib/cli/commands.js";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import { parseConfig, type Qwen3ForCausalLM, readConfig } from "../../lib/qwen3/index.js";
import { addonPath } from "../../lib/torch/native.js";
import { availableMemory } from "../../lib/train/available-memory.js";
import { estimateMemory, shapesOf, warnOfMemory } from "../../lib/train/estimate.js";
import type { TrainEvent } from "../../lib/train/events.js";
import { buildProgram, FakeHost, runNode } from "../cli/program.js";
import { QWEN3_SIZES } from "../fixtures/qwen3-sizes.js";
import { folder, only } from "./runs.js";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const recipeOf = (keys: RecipeInput): RecipeInput => ({
  model_name_or_path: path.join(examples, "model"),
  stage: "pt",
  do_train: true,
  dataset: "prose",
  dataset_dir: path.join(examples, "data"),
  output_dir: "unused",
  cutoff_len: 512,
  per_device_train_batch_size: 8,
  gradient_accumulation_steps: 1,
  max_steps: 2,
  max_samples: 60,
  save_strategy: "no",
  report_to: "none",
  bf16: true,
  use_cpu: true,
  ...keys,
});
const resolved = (keys: RecipeInput) => resolveRecipe(recipeOf(keys)).recipe;

describe("the peak of a run", () => {
  let program: string;
  beforeAll(async () => {
    program = await buildProgram();
  });
  afterAll(() => rmSync(program, { recursive: true, force: true }));

  // VmHWM is Linux's: the most that was ever resident
  it.skipIf(process.platform !== "linux").each([
    ["LoRA", { finetuning_type: "lora" }],
    ["LoRA, keeping all", { finetuning_type: "lora", disable_gradient_checkpointing: true }],
    ["full, keeping all", { finetuning_type: "full", disable_gradient_checkpointing: true }],
  ] as const)("%s: within a quarter of what is measured", async (_, keys) => {
    const file = path.join(folder(), "run.mjs");
    const given = { ...recipeOf(keys), output_dir: folder() };
    writeFileSync(
      file,
      `import { readFileSync } from "node:fs";
       import { train } from ${JSON.stringify(path.join(program, "dist/index.js"))};
       await train(${JSON.stringify(given)});
       console.log(/VmHWM:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);`,
    );
    const { out, err, code } = await runNode([file], { ...process.env, QWEN_PT_ADDON: addonPath() });
    expect([code, err]).toEqual([0, ""]);
    const recipe = resolved(keys);
    const model = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    const { total } = estimateMemory(model, recipe, !recipe.disable_gradient_checkpointing);
    const ratio = total / (Number(out) * 1024);
    expect(ratio).toBeGreaterThan(0.75);
    expect(ratio).toBeLessThan(1.25);
  });
});

describe("parts", () => {
  const config = parseConfig({ ...QWEN3_SIZES["0.6B"].config, dtype: "bfloat16" });
  const model = (keys: RecipeInput) => {
    const recipe = resolved({ cutoff_len: 1024, per_device_train_batch_size: 1, ...keys });
    return { recipe, model: shapesOf(recipe, config) };
  };

  it("of full training: 16 bytes a parameter, in float32", () => {
    const { recipe, model: full } = model({ finetuning_type: "full" });
    const { weights, gradients, optimizer } = estimateMemory(full, recipe, true);
    expect(weights + gradients + optimizer).toBe(16 * QWEN3_SIZES["0.6B"].parameters);
  });

  it("of LoRA of rank 8: 2 bytes a parameter, and 16 for each of its 5,046,272", () => {
    const { recipe, model: lora } = model({ finetuning_type: "lora" });
    const { weights, gradients, optimizer } = estimateMemory(lora, recipe, true);
    expect(weights + gradients + optimizer).toBe(2 * QWEN3_SIZES["0.6B"].parameters + 16 * 5_046_272);
  });

  it("grow with the batch, and less with checkpointing; below the first trained block nothing is kept", () => {
    const of = (keys: RecipeInput, checkpointing: boolean) => {
      const { recipe, model: shapes } = model({ finetuning_type: "freeze", ...keys });
      return estimateMemory(shapes, recipe, checkpointing).activations;
    };
    expect(of({ per_device_train_batch_size: 2 }, false)).toBe(2 * of({}, false));
    expect(of({}, true)).toBeLessThan(of({}, false));
    expect(of({ freeze_trainable_layers: 28 }, false)).toBeGreaterThan(
      9 * of({ freeze_trainable_layers: 2 }, false),
    );
  });
});

describe("what is left", () => {
  const files = (given: Record<string, string>) => (file: string) => given[file];
  const meminfo = { "/proc/meminfo": "MemTotal: 100 kB\nMemAvailable:     50 kB\n" };

  it("is the machine's, or less in a container of either version", () => {
    expect(availableMemory(files(meminfo))).toBe(51_200);
    const v2 = {
      ...meminfo,
      "/sys/fs/cgroup/memory.max": "40000\n",
      "/sys/fs/cgroup/memory.current": "30000\n",
    };
    expect(availableMemory(files(v2))).toBe(10_000);
    const droppable = { ...v2, "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 5000\n" };
    expect(availableMemory(files(droppable))).toBe(15_000);
    expect(availableMemory(files({ ...v2, "/sys/fs/cgroup/memory.max": "max\n" }))).toBe(51_200);
    const v1 = {
      ...meminfo,
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "20000",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "19000",
    };
    expect(availableMemory(files(v1))).toBe(1000);
  });

  it("a run that needs more is warned of, with what would help", () => {
    const recipe = resolved({ finetuning_type: "full", disable_gradient_checkpointing: true });
    const events: TrainEvent[] = [];
    const model: Qwen3ForCausalLM = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    warnOfMemory(model, recipe, (event) => events.push(event), 1e12);
    expect(events).toEqual([]);
    warnOfMemory(model, recipe, (event) => events.push(event), 1e8);
    const [{ level, text }] = only(events, "message");
    expect([level, text]).toEqual([
      "warning",
      expect.stringMatching(
        /^this run needs about 0\.\d GB of memory and there are 0\.1 GB: it may be killed; try disable_gradient_checkpointing: false, or a smaller per_device_train_batch_size, or a smaller cutoff_len, or finetuning_type: lora$/,
      ),
    ]);
  });
});

it("qwen-pt estimate prints both ways, and which one the recipe takes", async () => {
  const file = path.join(folder(), "recipe.yaml");
  writeFileSync(file, JSON.stringify(recipeOf({ finetuning_type: "lora" })));
  const estimate = async (...args: string[]) => {
    const host = new FakeHost();
    expect([await dispatch(["estimate", file, ...args], host), host.errors]).toEqual([0, ""]);
    return host.text;
  };
  expect(await estimate()).toMatch(/8 x 512 tokens at a time +keeping all +checkpointing \*\n/);
  const { modes } = JSON.parse(await estimate("--json", "disable_gradient_checkpointing=true"));
  expect(modes.map(({ chosen }: { chosen: boolean }) => chosen)).toEqual([true, false]);
  expect(modes[0].bytes.total).toBeGreaterThan(modes[1].bytes.total);
});

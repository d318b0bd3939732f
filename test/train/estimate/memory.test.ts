// What a run takes in memory and time: the prediction against the peak of a process that trains the example model, and
// against arithmetic by hand; what is left in a container; the mode that is chosen by it; the warning.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { quantizedConfig } from "../../../lib/assembly/quantized.js";
import { dispatch } from "../../../lib/cli/dispatch.js";
import { type RecipeInput, resolveRecipe } from "../../../lib/config/index.js";
import { loadTokenizer } from "../../../lib/data/index.js";
import type { TrainEvent } from "../../../lib/events.js";
import { parseConfig, readConfig } from "../../../lib/models/families/qwen3/index.js";
import { addonPath, native } from "../../../lib/torch/native.js";
import { availableMemory } from "../../../lib/train/estimate/available-memory.js";
import {
  chooseCheckpointing,
  resolveCheckpointing,
} from "../../../lib/train/estimate/choose-checkpointing.js";
import { estimateMemory, shapesOf } from "../../../lib/train/estimate/memory.js";
import { smallerWays } from "../../../lib/train/estimate/smaller-ways.js";
import { estimateSteps } from "../../../lib/train/estimate/steps.js";
import { estimateStep, measureParts } from "../../../lib/train/estimate/time.js";
import { runRecipe } from "../../../lib/train/run.js";
import { buildProgram, FakeHost, runNode } from "../../cli/program.js";
import { QWEN3_SIZES } from "../../fixtures/qwen3-sizes.js";
import { folder, only } from "../runs.js";

const examples = fileURLToPath(new URL("../../../examples/", import.meta.url));
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

describe("what a run that does not fit might do", () => {
  const settings = parseConfig({ ...QWEN3_SIZES["4B"].config, dtype: "bfloat16" });
  const ways = (keys: RecipeInput) =>
    smallerWays(resolved(keys), (of) => shapesOf(of, quantizedConfig(of, settings, "bfloat16")));
  const batch = { per_device_train_batch_size: 1, cutoff_len: 512 };

  it("is its frozen weights in 4 bits, or left in their file", () => {
    const recipe = resolved({ finetuning_type: "lora", ...batch });
    const { total } = estimateMemory(shapesOf(recipe, settings), recipe, true);
    const [four, disk] = ways({ finetuning_type: "lora", ...batch });
    expect([four?.line, disk?.line]).toEqual(["quantization_bit: 4", "layer_offload: disk"]);
    expect(total).toBeGreaterThan(8e9);
    // 4B's tables are 0.78 GB, its blocks 1.87 in 4 bits; the goal is 4.5
    expect(four?.bytes).toBeLessThan(4.5e9);
    expect(disk?.bytes).toBeLessThan(3e9);
  });

  it("is nothing where they are so already, or train", () => {
    expect(ways({ finetuning_type: "lora", quantization_bit: 4, ...batch })).toEqual([]);
    expect(ways({ finetuning_type: "lora", layer_offload: "disk", ...batch })).toEqual([]);
    expect(ways({ finetuning_type: "full", ...batch })).toEqual([]);
  });
});

describe("the peak of a run", () => {
  let program: string;
  beforeAll(async () => {
    program = await buildProgram();
  });
  afterAll(() => rmSync(program, { recursive: true, force: true }));

  // VmHWM is Linux's: the most that was ever resident
  it.skipIf(process.platform !== "linux").each([
    ["LoRA, whole blocks again", { finetuning_type: "lora", gradient_checkpointing: true }],
    ["LoRA over 4 bits", { finetuning_type: "lora", quantization_bit: 4, gradient_checkpointing: true }],
    [
      "LoRA in 8-bit integers",
      { finetuning_type: "lora", quantization_compute: "int8", gradient_checkpointing: true },
    ],
    ["LoRA in fp8", { finetuning_type: "lora", fp8: true, bf16: true, gradient_checkpointing: true }],
    ["full in fp8", { finetuning_type: "full", fp8: true, bf16: true, gradient_checkpointing: false }],
    ["LoRA, selective", { finetuning_type: "lora", gradient_checkpointing: "selective" }],
    ["full, keeping all", { finetuning_type: "full", gradient_checkpointing: false }],
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
    const { total } = estimateMemory(model, recipe, recipe.gradient_checkpointing ?? true);
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

  it("of LoRA in fp8: a byte a weight of the blocks' layers", () => {
    const recipe = resolved({ finetuning_type: "lora", fp8: true });
    const inFloat8 = { ...config, quantization: { type: "fp8 products", skipped: [] } as const };
    const [plain, narrow] = [config, inFloat8].map(
      (each) => estimateMemory(shapesOf(recipe, each), recipe, true).weights,
    ) as [number, number];
    const inBlocks = 28 * (1024 * (2048 + 2 * 1024) + 2048 * 1024 + 3 * 1024 * 3072);
    expect(plain - narrow).toBe(inBlocks - 28 * 7 * 4); // less a unit each
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

describe("activations of the 0.6B shape, a token and block", () => {
  const config = parseConfig({ ...QWEN3_SIZES["0.6B"].config, dtype: "bfloat16" });
  const kept = (mode: boolean | "selective", keys: RecipeInput = {}) => {
    const at = (layers: number) => {
      const recipe = resolved({
        finetuning_type: "lora",
        cutoff_len: 2,
        per_device_train_batch_size: 1,
        ...keys,
      });
      const model = shapesOf(recipe, { ...config, num_hidden_layers: layers });
      return estimateMemory(model, recipe, mode).activations;
    };
    return (at(2) - at(1)) / 2;
  };

  it("selective: input, attention with 4 bytes a head, o, gate and up", () => {
    expect(kept("selective")).toBe(2 * (1024 + 2048 + 1024 + 2 * 3072) + 4 * 16);
  });

  it("dropout: a byte for each element that an adapter sees", () => {
    const masks = kept(false, { lora_dropout: 0.1 }) - kept(false);
    expect(masks).toBe(5 * 1024 + 2048 + 3072);
    expect(kept("selective", { lora_dropout: 0.1 })).toBe(kept("selective")); // one block's at a time
  });

  it("fp8 in full training: a byte for each number that a layer multiplies its weight by", () => {
    const keys = { finetuning_type: "full" } as const;
    const of = (products?: "fp8") => {
      const at = (layers: number) => {
        const recipe = resolved({ cutoff_len: 2, per_device_train_batch_size: 1, ...keys });
        const model = shapesOf(recipe, { ...config, num_hidden_layers: layers, products });
        return estimateMemory(model, recipe, false).activations;
      };
      return (at(2) - at(1)) / 2;
    };
    // with a float32 stream each of q, k, v, gate and up has a narrow copy; down's input is kept for it alone
    expect(of() - of("fp8")).toBe(5 * 1024 * (2 - 1) + 3072 * (2 - 1) - 2048);
  });

  it("plain attention: its scores, twice and with what is hidden", () => {
    const scores = kept(false, { flash_attn: "disabled" }) - kept(false);
    expect(scores).toBe(16 * 2 * (4 + 2 + 1)); // 16 heads, 2 tokens
    expect(kept("selective", { flash_attn: "disabled" })).toBe(kept("selective"));
  });

  it("whole blocks again: the input; on the disk none", () => {
    expect(kept(true)).toBe(2 * 1024);
    expect(kept("selective", { activation_offload: "disk" })).toBe(0);
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
    const nested = {
      ...meminfo,
      "/proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/slurm/job_7\n0::/slurm/job_7\n",
      "/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes": "20000",
      "/sys/fs/cgroup/memory/slurm/memory.usage_in_bytes": "1000",
      "/sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes": "9000",
      "/sys/fs/cgroup/memory/slurm/job_7/memory.usage_in_bytes": "2000",
    };
    expect(availableMemory(files(nested))).toBe(7000);
    const scope = {
      ...meminfo,
      "/proc/self/cgroup": "0::/user.slice/run.scope\n",
      "/sys/fs/cgroup/user.slice/run.scope/memory.max": "30000\n",
      "/sys/fs/cgroup/user.slice/run.scope/memory.current": "10000\n",
      "/sys/fs/cgroup/user.slice/memory.max": "max\n",
      "/sys/fs/cgroup/user.slice/memory.current": "10000\n",
    };
    expect(availableMemory(files(scope))).toBe(20_000);
  });

  it("a run that needs more is warned of, with what would help", () => {
    const recipe = resolved({ finetuning_type: "full", disable_gradient_checkpointing: true });
    const events: TrainEvent[] = [];
    const model = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    resolveCheckpointing(model, recipe, "cpu", (event) => events.push(event), 1e12);
    expect(events).toEqual([]);
    resolveCheckpointing(model, recipe, "cpu", (event) => events.push(event), 1e8);
    const [{ level, text }] = only(events, "message");
    expect([level, text]).toEqual([
      "warning",
      expect.stringMatching(
        /^this run needs about \d{3}\.\d MB of memory and there are 100\.0 MB: it may be killed; try gradient_checkpointing: selective or true, or a smaller per_device_train_batch_size, or a smaller cutoff_len, or finetuning_type: lora$/,
      ),
    ]);
  });
});

describe("where the recipe does not say what is computed again", () => {
  const recipe = resolved({ finetuning_type: "lora", cutoff_len: 2048 });
  const model = shapesOf(recipe, readConfig(recipe.model_name_or_path));
  const total = (mode: boolean | "selective") => estimateMemory(model, recipe, mode).total;

  it("it is the quickest that fits with a margin of 15 %", () => {
    expect(total(false)).toBeGreaterThan(total("selective"));
    expect(total("selective")).toBeGreaterThan(total(true));
    expect(chooseCheckpointing(model, recipe, 1.16 * total(false))).toBe(false);
    expect(chooseCheckpointing(model, recipe, 1.14 * total(false))).toBe("selective");
    expect(chooseCheckpointing(model, recipe, 1.14 * total("selective"))).toBe(true);
  });

  it("a recipe that says it is obeyed", () => {
    expect(chooseCheckpointing(model, resolved({ disable_gradient_checkpointing: true }), 0)).toBe(false);
    expect(chooseCheckpointing(model, resolved({ gradient_checkpointing: true }), 1e15)).toBe(true);
  });

  it("one line says what was chosen and why", () => {
    const settled = (device: string, available?: number) => {
      const events: TrainEvent[] = [];
      const mode = resolveCheckpointing(model, recipe, device, (event) => events.push(event), available);
      return [mode, ...only(events, "message").map(({ level, text }) => `${level}: ${text}`)];
    };
    expect(settled("cpu", 64e9)).toEqual([
      false,
      expect.stringMatching(
        /^info: gradient_checkpointing: false, which takes about \d+\.\d [MG]B of the 64\.0 GB of memory available$/,
      ),
    ]);
    expect(settled("cuda:0")).toEqual([
      true,
      "info: gradient_checkpointing: true (free memory of cuda:0 is unknown)",
    ]);
    const addon = native();
    const held = { allocated: 2e9, reserved: 3e9, peakAllocated: 0, peakReserved: 0 };
    vi.spyOn(addon, "deviceMemory").mockReturnValue(held);
    const free = vi.spyOn(addon, "freeDeviceMemory").mockReturnValue({ free: 63e9, total: 80e9 });
    expect(settled("cuda:0")).toEqual([
      false,
      expect.stringMatching(
        /^info: gradient_checkpointing: false, which takes about \d+\.\d [MG]B of the 64\.\d GB of memory available on cuda:0$/,
      ),
    ]);
    free.mockReturnValue({ free: 0, total: 80e9 });
    vi.mocked(addon.deviceMemory).mockReturnValue({ ...held, allocated: 3e9 });
    expect(settled("cuda:0")).toEqual([
      true,
      expect.stringMatching(/^info: gradient_checkpointing: true/),
      expect.stringMatching(/^warning: this run needs about .* on cuda:0: it may run out; try a smaller/),
    ]);
    vi.restoreAllMocks();
  });

  it("the run takes what was chosen, and writes down what the recipe says", async () => {
    const small = { max_steps: 1, per_device_train_batch_size: 1, cutoff_len: 64 };
    const given = { ...recipeOf({ finetuning_type: "lora", ...small }), output_dir: folder() };
    const events: TrainEvent[] = [];
    await runRecipe(resolveRecipe(given), { onEvent: (event) => events.push(event) });
    const said = only(events, "message").filter(({ text }) => text.startsWith("gradient_checkpointing: "));
    expect(said).toHaveLength(1);
    const file = path.join(given["output_dir"] as string, "training_args.json");
    expect(JSON.parse(readFileSync(file, "utf8")).gradient_checkpointing ?? null).toBe(null);
  });
});

describe("time", () => {
  it("of a step grows with what is done in it", () => {
    const recipe = resolved({ finetuning_type: "lora", cutoff_len: 64, per_device_train_batch_size: 1 });
    const model = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    const parts = measureParts(model, recipe);
    for (const seconds of [...Object.values(parts.block), parts.forward, parts.head, parts.optimizer]) {
      expect(seconds).toBeGreaterThanOrEqual(0);
      expect(seconds).toBeLessThan(1);
    }
    const known = { block: { keeping: 3, selective: 4, whole: 5 }, forward: 1, head: 7, optimizer: 0.001 };
    const trained = model.parameters().reduce((sum, p) => sum + (p.requiresGrad ? p.numel() : 0), 0);
    const twice = { ...recipe, gradient_accumulation_steps: 2, per_device_train_batch_size: 3 };
    const layers = model.layers.length;
    expect(estimateStep(model, twice, "selective", known)).toBeCloseTo(
      6 * (4 * layers + 7) + 0.001 * trained,
    );
    expect(estimateStep(model, recipe, true, known)).toBeCloseTo(5 * layers + 7 + 0.001 * trained);
    const frozen = resolved({ finetuning_type: "freeze", freeze_trainable_layers: 1, cutoff_len: 64 });
    const above = shapesOf(frozen, readConfig(recipe.model_name_or_path));
    const none = { ...known, optimizer: 0 };
    const one = { ...frozen, per_device_train_batch_size: 1 };
    expect(estimateStep(above, one, false, none)).toBeCloseTo(layers - 1 + 3 + 7);
  });

  it("steps are the recipe's, or the data's by a sample", async () => {
    const tokenizer = () => loadTokenizer(path.join(examples, "model"));
    expect(await estimateSteps(resolved({}), tokenizer)).toEqual({ steps: 2, exact: true });
    const dir = folder();
    const lines = Array.from({ length: 1500 }, (_, i) => JSON.stringify({ text: `${i} `.repeat(200) }));
    writeFileSync(path.join(dir, "long.jsonl"), `${lines.join("\n")}\n`);
    const entry = { file_name: "long.jsonl", columns: { prompt: "text" } };
    writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify({ long: entry }));
    const recipe = resolved({ dataset: "long", dataset_dir: dir, max_steps: -1, max_samples: null });
    const reader = await tokenizer();
    const encoded = await reader.encodeBatch(lines.map((line) => JSON.parse(line).text));
    const tokens = encoded.reduce((sum, { length }) => sum + length + 1, 0);
    const found = await estimateSteps(recipe, tokenizer);
    const steps = (recipe.num_train_epochs * tokens) / (8 * 512);
    expect(found?.exact).toBe(false);
    expect((found?.steps ?? 0) / steps).toBeGreaterThan(0.8);
    expect((found?.steps ?? 0) / steps).toBeLessThan(1.2);
    const streamed = { ...recipe, mix_strategy: "interleave_under" };
    expect(await estimateSteps(streamed as typeof recipe, tokenizer)).toBe(undefined);
  });
});

it("qwen-pt estimate prints all three ways, and which one the recipe takes", async () => {
  const file = path.join(folder(), "recipe.yaml");
  const small = { cutoff_len: 64, per_device_train_batch_size: 8 };
  writeFileSync(file, JSON.stringify(recipeOf({ finetuning_type: "lora", ...small })));
  const estimate = async (...args: string[]) => {
    const host = new FakeHost();
    expect([await dispatch(["estimate", file, ...args], host), host.errors]).toEqual([0, ""]);
    return host.text;
  };
  const text = await estimate("gradient_checkpointing=selective");
  expect(text).toMatch(/^products: .+, .+, \d+ threads?\n/);
  expect(text).toMatch(/8 x 64 tokens at a time +keeping all +selective \* +whole blocks again\n/);
  expect(text).toMatch(
    /a step, on this processor( +[\d.e-]+ s){3}\n2 steps( +\d+:\d\d){3}\n\* what the recipe says\n/,
  );
  const { modes, steps, products } = JSON.parse(
    await estimate("--json", "disable_gradient_checkpointing=true"),
  );
  expect(products).toMatch(/^products: /);
  expect(modes.map(({ chosen }: { chosen: boolean }) => chosen)).toEqual([true, false, false]);
  expect(modes[0].bytes.activations).toBeGreaterThan(modes[1].bytes.activations);
  expect([steps, modes[0].seconds]).toEqual([2, 2 * modes[0].secondsPerStep]);
});

it("of two processes with half of every row each: half of what waits for the backward pass, and half of the time", () => {
  const of = (more: RecipeInput) => {
    const recipe = resolved({
      finetuning_type: "lora",
      gradient_checkpointing: false,
      nproc_per_node: 2,
      ...more,
    });
    const model = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    const parts = { block: { keeping: 1, selective: 1, whole: 1 }, forward: 1, head: 1, optimizer: 0 };
    return {
      bytes: estimateMemory(model, recipe, false),
      seconds: estimateStep(model, recipe, false, parts),
    };
  };
  const [whole, half] = [of({}), of({ parallelism_config: { cp_size: 2 } })];
  expect(half.seconds).toBe(whole.seconds / 2);
  expect(half.bytes.weights).toBe(whole.bytes.weights);
  // and what goes around them
  const share = half.bytes.activations / whole.bytes.activations;
  expect(share).toBeGreaterThan(0.5);
  expect(share).toBeLessThan(0.6);
});

it("of two processes with half of a model each: half of everything, and one unit whole at a time", () => {
  const keys = { finetuning_type: "full", gradient_checkpointing: true, nproc_per_node: 2 } as const;
  const of = (more: RecipeInput) => {
    const recipe = resolved({ ...keys, ...more });
    const model = shapesOf(recipe, readConfig(recipe.model_name_or_path));
    return { model, bytes: estimateMemory(model, recipe, true) };
  };
  const { model, bytes: whole } = of({});
  const parameters = model.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0);
  const full = of({ fsdp: "full_shard" }).bytes;
  expect(full.gradients).toBe(whole.gradients / 2);
  expect(full.optimizer).toBe(whole.optimizer / 2);
  const block = model.layers[0]!.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0);
  const rest = parameters - model.layers.length * block;
  expect(full.weights).toBe(whole.weights / 2 + 4 * Math.max(block, rest));
  const rows = of({ fsdp: "full_shard", optim: "adafactor" }).bytes;
  expect(rows.optimizer).toBeLessThan(0.1 * full.optimizer);
  expect(rows.optimizer).toBe(of({ optim: "adafactor" }).bytes.optimizer / 2);
  const kept = of({ fsdp: "shard_grad_op" }).bytes;
  expect(kept.weights).toBe(1.5 * whole.weights);
  expect(of({ deepspeed: { zero_optimization: { stage: 3 } } }).bytes).toEqual(full);
});

// What a run leaves behind, beside LLaMA-Factory's: names of files, keys in them, and whether transformers reads them.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { listCheckpoints } from "../../../lib/train/checkpoint/folder.js";
import { filesOf, fixture, folder, type Ran, references, run, state } from "../runs.js";

/** Pickles there, JSON and safetensors here. */
const THEIRS = /(^|\/)(training_args\.bin|optimizer\.pt|scheduler\.pt|rng_state\.pth)$/;
const OURS =
  /(^|\/)(training_args\.json|optimizer\.safetensors|scheduler\.json|rng_state\.safetensors|loop_state\.json|manifest\.json)$/;

const FILES = ["lora", "full", "intervals", "eval-epoch-best", "eval-full-best", "eval-each"];
const runs = new Map<string, Ran>();
beforeAll(async () => {
  for (const name of FILES) runs.set(name, await run(references[name].keys));
});
const ran = (name: string) => runs.get(name) as Ran;

describe("output files", () => {
  it.each(FILES)("%s: LLaMA-Factory's list, its pickles aside", (name) => {
    const theirs = references[name].files;
    const ours = filesOf(ran(name).dir);
    expect(ours.filter((file) => !OURS.test(file))).toEqual(theirs.filter((file) => !THEIRS.test(file)));
    expect(theirs.filter((file) => THEIRS.test(file)).length).toBeGreaterThan(0);
    // as many state files in each checkpoint, and a manifest
    const inCheckpoint = (file: string) => file.startsWith("checkpoint-") && OURS.test(file);
    const checkpoints = listCheckpoints(ran(name).dir).length;
    expect(ours.filter(inCheckpoint)).toHaveLength(6 * checkpoints);
  });

  it("adapter_config.json has PEFT's keys and values", () => {
    const ours = JSON.parse(readFileSync(path.join(ran("lora").dir, "adapter_config.json"), "utf8"));
    const theirs = references["lora"].adapter_config as Record<string, unknown>;
    expect(Object.keys(ours).sort()).toEqual(Object.keys(theirs).sort());
    const comparable = (config: Record<string, unknown>) => ({
      ...config,
      base_model_name_or_path: null,
      target_modules: [...(config["target_modules"] as string[])].sort(),
    });
    expect(comparable(ours)).toEqual(comparable(theirs));
    expect(ours.base_model_name_or_path).toBe(fixture("model"));
  });

  it.each(["lora", "intervals", "tokens-seen"])(
    "%s: trainer_state.json has transformers' keys and values",
    async (name) => {
      const dir = runs.get(name)?.dir ?? (await run(references[name].keys)).dir;
      const { log_history, ...ours } = state(dir);
      expect(ours).toEqual(references[name].state);
      expect(
        Object.keys(JSON.parse(readFileSync(path.join(dir, "all_results.json"), "utf8"))).sort(),
      ).toEqual(references[name].all_keys);
    },
  );

  it("training_loss.png is a picture of a size to look at", () => {
    const png = readFileSync(path.join(ran("lora").dir, "training_loss.png"));
    expect(png.subarray(0, 8)).toEqual(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]));
    const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
    expect([width >= 600 && width <= 2000, height >= 400 && height <= 2000]).toEqual([true, true]);
    expect(png.length).toBeGreaterThan(5000);
    expect(png.subarray(-8, -4).toString("latin1")).toBe("IEND");
  });

  it("speeds are counts over seconds", () => {
    const { metrics, runtimeSeconds } = ran("lora").result;
    const { log_history } = references["lora"];
    const steps = log_history.at(-1)?.step ?? 0;
    expect(metrics["train_runtime"]).toBeGreaterThan(0);
    expect(metrics["train_runtime"]).toBeLessThanOrEqual(runtimeSeconds);
    expect(metrics["train_steps_per_second"] * metrics["train_runtime"]).toBeCloseTo(steps, 0);
  });
});

describe("when checkpoints are written", () => {
  const saved = (keys: Record<string, unknown>) =>
    run({ max_steps: 9, max_samples: 6, plot_loss: false, ...keys } as never).then(({ dir, events }) => ({
      steps: listCheckpoints(dir)
        .map(({ step }) => step)
        .reverse(),
      told: events.flatMap((event) => (event.type === "checkpoint" ? [event.step] : [])),
      perEpoch: events.flatMap((event) => (event.type === "begin" ? [event.stepsPerEpoch] : []))[0],
      dir,
    }));

  it("save_strategy no: never", async () => {
    expect(await saved({ save_strategy: "no" })).toMatchObject({ steps: [], told: [] });
  });

  it("steps: every few steps, and at the last", async () => {
    expect(await saved({ save_steps: 4 })).toMatchObject({ steps: [4, 8, 9], told: [4, 8, 9] });
    expect(await saved({ save_steps: 0.3 })).toMatchObject({ steps: [3, 6, 9] });
  });

  it("epoch: at each epoch's end, and at the last step", async () => {
    const { steps, perEpoch } = await saved({ save_strategy: "epoch" });
    const ends = [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((step) => step % perEpoch === 0 || step === 9);
    expect(perEpoch).toBeLessThan(9);
    expect(steps).toEqual(ends);
  });

  it("save_total_limit keeps the newest; save_only_model leaves the state out", async () => {
    expect(await saved({ save_steps: 2, save_total_limit: 2 })).toMatchObject({
      steps: [8, 9],
      told: [2, 4, 6, 8, 9],
    });
    const { dir } = await saved({ save_steps: 5, save_total_limit: 1, save_only_model: true });
    const [{ step, dir: checkpoint }] = listCheckpoints(dir);
    expect(step).toBe(9);
    expect(readdirSync(checkpoint).filter((name) => /optimizer|scheduler|rng|loop/.test(name))).toEqual([]);
  });

  it("an earlier run's log goes where it is overwritten, its checkpoints stay", async () => {
    const first = await run({ max_steps: 4, save_steps: 2, plot_loss: false });
    const second = await run({ max_steps: 3, save_strategy: "no", plot_loss: false, output_dir: first.dir });
    expect(listCheckpoints(second.dir).map(({ step }) => step)).toEqual([4, 2]);
    expect(
      readFileSync(path.join(second.dir, "trainer_log.jsonl"), "utf8").trimEnd().split("\n"),
    ).toHaveLength(4);
  });
});

describe("transformers and PEFT read", () => {
  it("tokenizer, state, adapter and model, of the run and of its checkpoints", () => {
    const out = folder();
    const lora = ran("intervals").dir;
    const full = ran("full").dir;
    const checkpoints = [lora, full].map((dir) => listCheckpoints(dir)[0].dir);
    const script = `
import json, sys, torch, transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.trainer_callback import TrainerState
transformers.logging.set_verbosity_error()
source, lora, full, lora_checkpoint, full_checkpoint = sys.argv[1:]
text = "秦之用兵於燕、趙\\n1, 2, 3<|im_end|>"
first = AutoTokenizer.from_pretrained(source)
def tokens(folder):
    found = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": "問"}]
    same = found.apply_chat_template(chat, tokenize=False) == first.apply_chat_template(chat, tokenize=False)
    return [found(text)["input_ids"] == first(text)["input_ids"], same, found.eos_token, found.pad_token, len(found) == len(first)]
def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([[5, 9, 30, 2]])).logits
def adapted(folder):
    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source), folder))
plain = logits(AutoModelForCausalLM.from_pretrained(source))
a, b = adapted(lora), adapted(lora_checkpoint)
c, d = (logits(AutoModelForCausalLM.from_pretrained(folder)) for folder in (full, full_checkpoint))
print(json.dumps({
    "tokenizers": [tokens(folder) for folder in (lora, full, lora_checkpoint, full_checkpoint)],
    "steps": [TrainerState.load_from_json(folder + "/trainer_state.json").global_step for folder in (lora, lora_checkpoint)],
    "same": [bool(torch.equal(a, b)), bool(torch.equal(c, d))],
    "trained": [bool((a - plain).abs().max() > 0.1), bool((c - plain).abs().max() > 0.1)],
}))`;
    const python = process.env.QWEN_PT_REFERENCE_PYTHON ?? "python3";
    const args = ["-c", script, fixture("model"), lora, full, ...checkpoints];
    const { stdout, stderr } = spawnSync(python, args, {
      encoding: "utf8",
      cwd: out,
      env: { ...process.env, OMP_NUM_THREADS: "1" },
    });
    expect(stdout, stderr).not.toBe("");
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({
      tokenizers: Array.from({ length: 4 }, () => [true, true, "<|im_end|>", "<|endoftext|>", true]),
      steps: [11, 11],
      same: [true, true],
      trained: [true, true],
    });
  });
});

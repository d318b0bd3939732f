// Trackers of a real run: what they are told, and that none of them can do it any harm.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import {
  type Artifact,
  registerTracker,
  type TrackedRun,
  type Tracker,
  type TrainEvent,
  train,
} from "../../lib/index.js";

const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-trackers-"));
const model = path.join(import.meta.dirname, "../../examples/model");
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

writeFileSync(
  path.join(root, "dataset_info.json"),
  JSON.stringify({ d: { file_name: "d.jsonl", columns: { prompt: "text" } } }),
);
writeFileSync(
  path.join(root, "d.jsonl"),
  Array.from({ length: 40 }, (_, i) => `${JSON.stringify({ text: `第${i}篇：春江潮水連海平。` })}\n`).join(
    "",
  ),
);

let runs = 0;
const recipe = (more: Record<string, unknown> = {}) => ({
  model_name_or_path: model,
  dataset: "d",
  dataset_dir: root,
  output_dir: path.join(root, `out-${++runs}`),
  stage: "pt" as const,
  cutoff_len: 16,
  max_steps: 4,
  logging_steps: 2,
  save_steps: 2,
  plot_loss: true,
  seed: 1,
  ...more,
});

class Toy implements Tracker {
  readonly name = "toy";
  readonly told: unknown[] = [];
  run: TrackedRun | undefined;
  begin(run: TrackedRun) {
    this.run = run;
    this.told.push(["begin", run.startStep, run.remembered]);
    run.remember({ id: "its place" });
  }
  log(figures: Readonly<Record<string, number>>, step: number) {
    this.told.push(["log", step, Object.keys(figures)]);
  }
  artifact({ path: place, what }: Artifact) {
    this.told.push(["artifact", path.basename(place), what, existsSync(place)]);
  }
  finish(ending: string) {
    this.told.push(["finish", ending]);
  }
}

const LOGGED = [
  "loss",
  "grad_norm",
  "learning_rate",
  "epoch",
  "perf/tokens_per_second",
  "perf/memory_gb",
  "perf/data_wait_seconds",
];

describe("a program's tracker", () => {
  it("is told of the run from its parameters to its end, and again where the run is resumed", async () => {
    const toy = new Toy();
    registerTracker("toy", () => toy);
    const keys = recipe({ report_to: "toy", swanlab_api_key: "not for the world", run_name: "first" });
    await train({ ...keys, max_steps: 2, lr_scheduler_type: "constant" });
    expect(toy.run?.name).toBe("first");
    expect(toy.run?.parameters).toMatchObject({
      cutoff_len: 16,
      swanlab_api_key: "<SWANLAB_API_KEY>",
      device: "cpu",
      num_parameters: expect.any(Number),
    });
    expect(toy.told).toEqual([
      ["begin", 0, undefined],
      ["log", 2, LOGGED],
      [
        "log",
        2,
        [
          "train_runtime",
          "train_samples_per_second",
          "train_steps_per_second",
          "total_flos",
          "train_loss",
          "epoch",
        ],
      ],
      ["artifact", "training_loss.png", "figure", true],
      ["artifact", "README.md", "model card", true],
      ["finish", "finished"],
    ]);
    toy.told.length = 0;
    await train({ ...keys, lr_scheduler_type: "constant" });
    expect(toy.told.slice(0, 2)).toEqual([
      ["begin", 2, { id: "its place" }],
      ["log", 4, LOGGED],
    ]);
  });

  it("that throws is left out, with one warning, and the run's numbers stay", async () => {
    const results: unknown[] = [];
    const warnings: string[] = [];
    const onEvent = (event: TrainEvent) => {
      if (event.type === "message" && event.level === "warning") warnings.push(event.text);
    };
    const broken: Tracker = {
      name: "broken",
      begin() {},
      log() {
        throw new Error("it is full");
      },
      finish: () => Promise.reject(new Error("never called: it is out")),
    };
    for (const trackers of [[], [broken]])
      results.push((await train(recipe(), { trackers, onEvent })).trainLoss);
    expect(results[0]).toBe(results[1]);
    expect(warnings).toEqual([
      "report_to: broken: it is full; nothing more is reported to it, the run goes on",
    ]);
  });

  it("that cannot be used ends the run before it begins", async () => {
    const keys = recipe();
    const check = () => {
      throw new Error("no");
    };
    const trackers = [{ name: "no", check, begin() {}, log() {}, finish() {} }];
    await expect(train(keys, { trackers })).rejects.toThrow("no");
    expect(existsSync(keys.output_dir)).toBe(false);
  });
});

describe("a Python client", () => {
  const use = (mode: string, more: Record<string, string> = {}) => {
    const file = path.join(root, `fake-${++runs}.jsonl`);
    vi.stubEnv("QWEN_PT_PYTHON", process.env.QWEN_PT_REFERENCE_PYTHON);
    vi.stubEnv("PYTHONDONTWRITEBYTECODE", "1");
    vi.stubEnv("PYTHONPATH", path.join(import.meta.dirname, "../fixtures/trackers/fakes"));
    vi.stubEnv("FAKE", mode);
    vi.stubEnv("FAKE_FILE", file);
    for (const [name, value] of Object.entries(more)) vi.stubEnv(name, value);
    return () =>
      readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const messagesOf = async (keys: ReturnType<typeof recipe>) => {
    const said: string[] = [];
    const result = await train(keys, {
      onEvent: (event) => {
        if (event.type === "message" && event.text.startsWith("report_to")) said.push(event.text);
      },
    });
    return { result, said };
  };

  it("has the run, under transformers' tags, and has it again where it is resumed", async () => {
    const entries = use("");
    const keys = recipe({ report_to: ["wandb"], project: "mine", lr_scheduler_type: "constant" });
    const { said } = await messagesOf({ ...keys, max_steps: 2 });
    expect(said).toEqual(["report_to: wandb: the run is at fake://run"]);
    await messagesOf(keys);
    const told = entries();
    const inits = told.flatMap(({ init }) => (init === undefined ? [] : [init as Record<string, unknown>]));
    expect(inits).toEqual([
      { project: "mine", name: null, id: expect.stringMatching(/^[a-z0-9]{8}$/), resume: "allow" },
      inits[0],
    ]);
    const points = told.flatMap(({ log }) => (log === undefined ? [] : [log as Record<string, number>]));
    expect(
      points.filter((point) => "train/loss" in point).map((point) => point["train/global_step"]),
    ).toEqual([2, 4]);
    expect(told.filter(({ summary }) => summary === "train_loss")).toHaveLength(2);
    expect(
      told.filter(({ images }) => (images as string[] | undefined)?.[0] === "figures/training_loss"),
    ).toHaveLength(2);
    expect(told.filter(({ artifact }) => artifact !== undefined)).toEqual([
      { artifact: { type: "model-card", file: "README.md" } },
      { artifact: { type: "model-card", file: "README.md" } },
    ]);
    expect(told.at(-1)).toEqual({ finish: 0 });
  });

  it.each([
    [
      "die",
      "report_to: wandb: its client ended (exit code 3): MemoryError: no luck; nothing more is reported to it",
    ],
    [
      "hang",
      "report_to: wandb: it did not take everything within 1 s (QWEN_PT_TRACKER_TIMEOUT sets the limit)",
    ],
    ["bad key", "report_to: wandb: RuntimeError: 401: the key ... is wrong; nothing more is reported to it"],
  ])("that does this costs a warning and no step: %s", async (mode, warning) => {
    use(mode, { QWEN_PT_TRACKER_TIMEOUT: "1", WANDB_API_KEY: "0123456789abcdef" });
    const { result, said } = await messagesOf(recipe({ report_to: "wandb" }));
    expect(result.steps).toBe(4);
    expect(said.at(-1)).toContain(warning);
  });

  it("that is not installed is an error before anything is read", async () => {
    vi.stubEnv("QWEN_PT_PYTHON", process.env.QWEN_PT_REFERENCE_PYTHON);
    const keys = recipe({ report_to: "trackio", dataset_dir: "/nowhere" });
    await expect(train(keys)).rejects.toThrow(
      /^report_to: the package trackio is not installed for \S+; install it with: \S+ -m pip install trackio /,
    );
    vi.stubEnv("QWEN_PT_PYTHON", "/no/python");
    await expect(train(keys)).rejects.toThrow("QWEN_PT_PYTHON: /no/python does not exist; set it to");
  });

  it("`all` means those that are installed", async () => {
    use("");
    const { said } = await messagesOf(recipe({ report_to: "all", max_steps: 2 }));
    expect(said.map((text) => text.split(":")[1]?.trim()).sort()).toEqual(["tensorboard", "wandb"]);
  });

  it("that answers late, to a disk that is full or a listener that throws, ends nothing", async () => {
    use("");
    const keys = recipe({ report_to: "wandb" });
    mkdirSync(path.join(keys.output_dir, "trackers.json"), { recursive: true }); // cannot be written over
    const { steps } = await train(keys, {
      onEvent: (event) => {
        if (event.type === "message" && event.text.startsWith("report_to")) throw new Error("a listener's");
      },
    });
    expect(steps).toBe(4);
  });
});

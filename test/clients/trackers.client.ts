// A run, and the same run resumed, as the trackers' own readers see it: TensorBoard's accumulator, a real MLflow server,
// wandb offline, swanlab local, trackio local.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type RecipeInput, train } from "../../lib/index.js";

const python = process.env.QWEN_PT_PYTHON ?? "";
const here = import.meta.dirname;
const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-clients-"));
let server: ChildProcess | undefined;
let uri = "";

interface Found {
  loss: [number, number][];
  curves?: [number, number][][];
  tags?: string[];
  parameters: Record<string, unknown>;
  pictures: string[];
  status?: string;
}

const recipe = (out: string): RecipeInput => ({
  model_name_or_path: path.join(here, "../../examples/model"),
  dataset: "prose",
  dataset_dir: path.join(here, "../../examples/data"),
  output_dir: out,
  max_samples: 10,
  cutoff_len: 32,
  stage: "pt",
  max_steps: 4,
  logging_steps: 1,
  save_steps: 2,
  lr_scheduler_type: "constant",
  plot_loss: true,
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function answers(address: string): Promise<void> {
  for (let tries = 0; tries < 240; tries++) {
    const ok = await fetch(address).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`${address} does not answer`);
}

const readBack = (tracker: string, place: string, run = ""): Found =>
  JSON.parse(
    execFileSync(python, [path.join(here, "read_back.py"), tracker, place, run], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    })
      .trim()
      .split("\n")
      .at(-1) as string,
  );

beforeAll(async () => {
  if (python === "") throw new Error("QWEN_PT_PYTHON is not set: run npm run test:clients");
  const port = await freePort();
  uri = `http://127.0.0.1:${port}`;
  const store = [
    "--backend-store-uri",
    `sqlite:///${root}/mlflow.db`,
    "--artifacts-destination",
    `${root}/artifacts`,
  ];
  const args = [
    "-m",
    "mlflow",
    "server",
    "--host",
    "127.0.0.1",
    "--port",
    String(port),
    "--workers",
    "1",
    ...store,
  ];
  server = spawn(python, args, { stdio: "ignore", detached: true, cwd: root });
  await answers(`${uri}/health`);
  for (const [name, value] of Object.entries({
    MLFLOW_TRACKING_URI: uri,
    WANDB_MODE: "offline",
    TRACKIO_DIR: path.join(root, "trackio"),
    HF_HUB_OFFLINE: "1",
  }))
    vi.stubEnv(name, value);
});
afterAll(() => {
  if (server?.pid !== undefined) process.kill(-server.pid, "SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

/** Two steps, then the same recipe to four: what was logged, and where each tracker's run is. */
async function twice(name: string, more: RecipeInput) {
  const out = path.join(root, name);
  const said: string[] = [];
  const losses: [number, number][] = [];
  const onEvent = (event: { type: string }) => {
    if (event.type === "message") said.push((event as unknown as { text: string }).text);
    if (event.type !== "log") return;
    const { entry } = event as unknown as { entry: Record<string, number> };
    if (entry.loss !== undefined) losses.push([entry.step as number, entry.loss]);
  };
  await train({ ...recipe(out), ...more, max_steps: 2 }, { onEvent });
  await train({ ...recipe(out), ...more }, { onEvent });
  expect(said.filter((text) => text.includes("nothing more is reported"))).toEqual([]);
  expect(losses.map(([step]) => step)).toEqual([1, 2, 3, 4]);
  const places = JSON.parse(readFileSync(path.join(out, "trackers.json"), "utf8")) as Record<
    string,
    Record<string, string>
  >;
  return { out, losses, place: places[name] as Record<string, string> };
}

const close = (found: [number, number][], wanted: [number, number][]) => {
  expect(found.map(([step]) => step)).toEqual(wanted.map(([step]) => step));
  for (const [at, [, loss]] of found.entries()) expect(loss).toBeCloseTo(wanted[at]?.[1] as number, 5);
};

describe("one run in two parts, read back by", () => {
  it("TensorBoard's accumulator", async () => {
    const { losses, place } = await twice("tensorboard", { report_to: "tensorboard" });
    const found = readBack("tensorboard", place.dir as string);
    close(found.loss, losses);
    expect(found.tags).toContain("perf/tokens_per_second");
    expect(found.parameters.cutoff_len).toBe(32);
    expect(found.pictures).toEqual(["figures/training_loss"]);
  });

  it("an MLflow server", async () => {
    const { losses, place } = await twice("mlflow", { report_to: "mlflow", run_name: "two parts" });
    const found = readBack("mlflow", uri, place.id);
    close(found.loss, losses);
    expect(found.parameters).toMatchObject({ cutoff_len: "32", max_steps: "2" });
    expect(found.pictures).toEqual(["training_loss.png"]);
    expect(found.status).toBe("FINISHED");
  });

  it("wandb's offline files", async () => {
    const { out, losses } = await twice("wandb", { report_to: "wandb" });
    const found = readBack("wandb", out);
    close(found.loss, losses);
    expect(found.parameters.cutoff_len).toBe(32);
    expect(found.pictures).toContain("figures/training_loss");
  });

  it("swanlab's local files", async () => {
    const { losses, place } = await twice("swanlab", { use_swanlab: true, swanlab_mode: "local" });
    const found = readBack("swanlab", place.dir as string);
    const curves = found.curves?.filter(([first]) => [1, 3].includes(first?.[0] as number)) ?? [];
    for (const half of [losses.slice(0, 2), losses.slice(2)])
      expect(curves.some((curve) => JSON.stringify(curve) === JSON.stringify(half))).toBe(true);
    expect(found.pictures.length).toBeGreaterThan(0);
  });

  it("trackio's database", async () => {
    const { losses, place } = await twice("trackio", { report_to: "trackio", project: "ours" });
    const found = readBack("trackio", "ours", place.name);
    close(found.loss, losses);
    expect(found.parameters.cutoff_len).toBe(32);
    expect(found.pictures).toContain("figures/training_loss");
  });
});

it("a server that is down costs a warning and no step", async () => {
  vi.stubEnv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9");
  vi.stubEnv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0");
  vi.stubEnv("QWEN_PT_TRACKER_TIMEOUT", "30");
  const said: string[] = [];
  const { steps } = await train(
    { ...recipe(path.join(root, "down")), report_to: "mlflow" },
    { onEvent: (event) => event.type === "message" && said.push(event.text) },
  );
  expect(steps).toBe(4);
  expect(said.filter((text) => text.startsWith("report_to: mlflow: "))).toHaveLength(1);
});

// `qwen-pt train` in several processes: started by itself and by torchrun, LLaMA-Factory's variables, and how the
// processes end together.
import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, it } from "vitest";
import { launchPlan } from "../../../lib/distributed/index.js";
import { cardOfRank, visibleCards } from "../../../lib/torch/machine/rank-card.js";
import { tinyModel } from "../../api/room.js";
import { freePort, program, runRanks } from "../ranks.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
/** The reference Python, which `npm test` installs; it has torch, and with it torchrun. */
const python = path.join(root, ".reference/bin/python");

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-launch-"));
  tinyModel(path.join(dir, "model"));
  const keys = {
    model_name_or_path: path.join(dir, "model"),
    stage: "pt",
    do_train: true,
    finetuning_type: "lora",
    dataset: "prose",
    dataset_dir: path.join(root, "examples/data"),
    max_samples: 20,
    cutoff_len: 24,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    max_steps: 4,
    logging_steps: 1,
    use_cpu: true,
    ddp_timeout: 180000000,
    heartbeat_timeout: 4,
  };
  const lines = Object.entries(keys).map(([key, value]) => `${key}: ${value}`);
  writeFileSync(path.join(dir, "r.yaml"), `${lines.join("\n")}\n`);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Result {
  code: number | null;
  out: string;
  err: string;
  seconds: number;
}

/** Runs a command; `seen` is told of its output so far. */
function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  seen: (out: string, pid: number) => void = () => {},
): Promise<Result> {
  const begin = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: dir, env: { ...process.env, ...env } });
    const result = { out: "", err: "" };
    child.stdout.on("data", (text) => {
      result.out += text;
      seen(result.out, child.pid as number);
    });
    child.stderr.on("data", (text) => {
      result.err += text;
    });
    child.on("close", (code) => resolve({ ...result, code, seconds: (performance.now() - begin) / 1000 }));
  });
}

const train = (more: string[], env?: NodeJS.ProcessEnv, seen?: (out: string, pid: number) => void) =>
  run(process.execPath, [program, "train", "r.yaml", ...more], env, seen);

/** The processes that a process has started. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);

const endless = ["max_steps=100000", "save_strategy=no"];

describe.skipIf(process.platform !== "linux").concurrent("several processes", () => {
  it("are started by nproc_per_node; rank 0 alone speaks and writes", async ({ expect }) => {
    const { code, out, err } = await train(["nproc_per_node=2", "output_dir=own"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("starting 2 processes");
    expect(out).toContain("Total train batch size (w. parallel, distributed & accumulation) = 2");
    expect(out.match(/^finished after 4 steps/gm)).toHaveLength(1);
    expect(out.match(/\(100%\)/g)).toHaveLength(1);
    expect(existsSync(path.join(dir, "own/adapter_model.safetensors"))).toBe(true);
    expect(readdirSync(path.join(dir, "own")).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it.skipIf(!existsSync(python))("are started by torchrun", async ({ expect }) => {
    const port = String(await freePort());
    const starting = [
      "-m",
      "torch.distributed.run",
      "--no-python",
      "--nproc_per_node",
      "2",
      "--master_port",
      port,
    ];
    const command = [process.execPath, program, "train", "r.yaml", "output_dir=torchrun"];
    const { code, out } = await run(python, [...starting, ...command], { OMP_NUM_THREADS: "1" });
    expect(code).toBe(0);
    expect(out.match(/^finished after 4 steps/gm)).toHaveLength(1);
    const logged = readFileSync(path.join(dir, "torchrun/trainer_log.jsonl"), "utf8").trim().split("\n");
    expect(logged).toHaveLength(5);
  });

  it("end together at Ctrl-C, with one checkpoint, whichever hears of it", async ({ expect }) => {
    let told = false;
    const { code, out } = await train(
      [...endless, "nproc_per_node=2", "output_dir=stopped"],
      {},
      (text, pid) => {
        if (told || !/^step 3\//m.test(text)) return;
        told = true;
        process.kill(childrenOf(pid)[1] as number, "SIGINT");
      },
    );
    expect(code).not.toBe(0);
    expect(out.match(/^checkpoint of step \d+ saved/gm)).toHaveLength(1);
    expect(out).toMatch(/^interrupted after \d+ steps/m);
    expect(readdirSync(path.join(dir, "stopped")).filter((name) => /^checkpoint/.test(name))).toHaveLength(1);
  });

  it("pass on the launcher's own Ctrl-C", async ({ expect }) => {
    let told = false;
    const { code, out } = await train(
      [...endless, "nproc_per_node=2", "output_dir=ctrl"],
      {},
      (text, pid) => {
        if (told || !/^step 3\//m.test(text)) return;
        told = true;
        process.kill(pid, "SIGINT");
      },
    );
    expect(code).toBe(130);
    expect(out).toContain("Ctrl-C: finishing the running micro-step");
    expect(out.match(/^checkpoint of step \d+ saved/gm)).toHaveLength(1);
  });

  it("end when one is killed, and the launcher says which; MAX_RESTARTS goes on", async ({ expect }) => {
    let killed = 0;
    const keys = [
      "max_steps=40",
      "save_steps=5",
      "nproc_per_node=2",
      "output_dir=killed",
      "overwrite_output_dir=true",
    ];
    const { code, out, err } = await train(keys, { MAX_RESTARTS: "1" }, (text, pid) => {
      if (killed > 0 || !/^checkpoint of step 10 /m.test(text)) return;
      killed = childrenOf(pid)[1] as number;
      process.kill(killed, "SIGKILL");
    });
    expect(err).toContain("rank 1 was ended by SIGKILL");
    expect(err).toMatch(/error: .*rank 1 (is gone|has given no sign of life)/);
    expect(err).toContain("starting all processes again (restart 1 of 1)");
    expect(out).toMatch(/^finished after 40 steps/m);
    const steps = [...out.matchAll(/^step (\d+)\//gm)].map((match) => Number(match[1]));
    expect(steps.filter((step) => step === 1)).toHaveLength(1);
    expect(code).toBe(0);
    expect(readdirSync(path.join(dir, "killed")).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("refuse what differs, or is missing on one rank, in one line", async ({ expect }) => {
    const differing = await runRanks("", {
      cwd: dir,
      args: (rank) => [program, "train", "r.yaml", `learning_rate=${rank + 1}e-3`, "output_dir=differ"],
    });
    expect(differing.map(({ code }) => code)).toEqual([1, 1]);
    expect(differing[0]!.err.trim()).toMatch(
      /^error: rank 1 differs from rank 0 in the recipe's learning_rate: 0\.002 there, 0\.001 here; start every rank/,
    );
    expect(differing[1]!.err).toBe("");
    const missing = await runRanks("", {
      cwd: dir,
      args: (rank) => [
        program,
        "train",
        "r.yaml",
        "output_dir=missing",
        ...(rank === 1 ? ["model_name_or_path=./nowhere"] : []),
      ],
    });
    expect(missing.map(({ code }) => code)).toEqual([1, 1]);
    // another folder may hold the same; a file in it that differs is found, and so is a processor that multiplies otherwise
    const other = path.join(dir, "other");
    mkdirSync(other, { recursive: true });
    cpSync(path.join(root, "examples/data/dataset_info.json"), path.join(other, "dataset_info.json"));
    const corpus = "prose.jsonl";
    const rows = readFileSync(path.join(root, "examples/data", corpus), "utf8").split("\n");
    writeFileSync(path.join(other, corpus), rows.slice(1).join("\n"));
    const unlike = (name: string, keys: string[], env: Record<string, string>) =>
      runRanks("", {
        cwd: dir,
        args: (rank) => [program, "train", "r.yaml", `output_dir=${name}`, ...(rank === 1 ? keys : [])],
        env: (rank) => (rank === 1 ? env : { QWEN_PT_PRODUCTS: "panels" }),
      });
    const panels = { QWEN_PT_PRODUCTS: "panels" };
    const [data, products] = await Promise.all([
      unlike("data", [`dataset_dir=${other}`], panels),
      unlike("products", [], { QWEN_PT_PRODUCTS: "native" }),
    ]);
    expect([...data, ...products].map(({ code }) => code)).toEqual([1, 1, 1, 1]);
    expect(data[0]!.err).toMatch(/^error: rank 1 differs from rank 0 in the data: \d+ blocks, /);
    expect(products[0]!.err).toMatch(
      /^error: rank 1 differs from rank 0 in what multiplies \(the kernels\): /,
    );
    expect(missing[0]!.err.trim()).toMatch(/^error: rank 1: .*nowhere/);
    expect(missing[0]!.err.trim().split("\n")).toHaveLength(1);
    expect(missing[1]!.err).toBe("");
  });
});

describe("the cards of a machine", () => {
  const visible = (CUDA_VISIBLE_DEVICES: string) => visibleCards({ CUDA_VISIBLE_DEVICES });

  it("get a process each, unless the recipe says how many", ({ expect }) => {
    expect(launchPlan({}, null, 4)).toMatchObject({ perNode: 4, nodes: 1 });
    expect(launchPlan({}, null, 1)).toBeUndefined();
    expect(launchPlan({}, 1, 4)).toBeUndefined();
    expect(launchPlan({}, 2, 4)).toMatchObject({ perNode: 2 });
    expect(launchPlan({ FORCE_TORCHRUN: "1" }, null, 2)).toMatchObject({ perNode: 2 });
    expect(launchPlan({ NPROC_PER_NODE: "3" }, null, 4)).toMatchObject({ perNode: 3 });
    const second = { NNODES: "2", NODE_RANK: "1", MASTER_ADDR: "10.0.0.1" };
    expect(launchPlan(second, null, 8)).toMatchObject({ perNode: 8, nodes: 2, node: 1, port: 29500 });
    expect(launchPlan({ WORLD_SIZE: "4", RANK: "0" }, null, 4)).toBeUndefined();
  });

  it("are those that CUDA_VISIBLE_DEVICES names, up to the first word that is none", ({ expect }) => {
    expect(visibleCards({})).toBeUndefined();
    expect(visible("")).toEqual([]);
    expect(visible("-1")).toEqual([]);
    expect(visible("NoDevFiles")).toEqual([]);
    expect(visible("0, 3")).toEqual(["0", "3"]);
    expect(visible("2,-1,1")).toEqual(["2"]);
    expect(visible("GPU-8932f937,MIG-4a1b")).toEqual(["GPU-8932f937", "MIG-4a1b"]);
  });

  it("are one for each process, by its number on its machine", ({ expect }) => {
    const place = { RANK: "5", LOCAL_RANK: "1", WORLD_SIZE: "8" };
    expect(cardOfRank(place)).toBe("1");
    expect(cardOfRank({ ...place, CUDA_VISIBLE_DEVICES: "2,GPU-ab" })).toBe("GPU-ab");
    // what shows each process one card has chosen; none is none
    expect(cardOfRank({ ...place, CUDA_VISIBLE_DEVICES: "3" })).toBeUndefined();
    expect(cardOfRank({ ...place, CUDA_VISIBLE_DEVICES: "" })).toBeUndefined();
    expect(cardOfRank({ ...place, LOCAL_RANK: "2", CUDA_VISIBLE_DEVICES: "0,1" })).toBeUndefined();
    expect(cardOfRank({ LOCAL_RANK: "1" })).toBeUndefined();
    expect(cardOfRank({ ...place, WORLD_SIZE: "1" })).toBeUndefined();
    const slurm = { SLURM_STEP_ID: "0", SLURM_PROCID: "9", SLURM_NTASKS: "16", SLURM_LOCALID: "1" };
    expect(cardOfRank(slurm)).toBe("1");
  });

  it("are what nccl is for: a run on the processor refuses it, in one line of rank 0", async ({ expect }) => {
    const { code, err } = await train(["nproc_per_node=2", "ddp_backend=nccl", "output_dir=by-nccl"]);
    expect([code, err.trim()]).toEqual([
      1,
      "error: ddp_backend: nccl moves tensors of GPUs, and this run computes on the processor; take gloo, or leave the key out",
    ]);
    expect(existsSync(path.join(dir, "by-nccl"))).toBe(false);
  });

  it("are what CUDA sees in a process of several", async ({ expect }) => {
    const ended = await runRanks(
      `t.zeros([1]); // the addon sets it as it is loaded
       const { execFileSync } = await import("node:child_process");
       console.log(execFileSync("sh", ["-c", "echo $CUDA_VISIBLE_DEVICES"], { encoding: "utf8" }).trim());`,
      { env: () => ({ CUDA_VISIBLE_DEVICES: "4,6" }) },
    );
    expect(ended.map(({ out, err }) => [out.trim(), err])).toEqual([
      ["4", ""],
      ["6", ""],
    ]);
  });
});

describe("LLaMA-Factory's variables", () => {
  it("mean what they mean there", ({ expect }) => {
    expect(launchPlan({}, null)).toBeUndefined();
    expect(launchPlan({ NPROC_PER_NODE: "4" }, null)).toBeUndefined();
    expect(launchPlan({ RANK: "0", WORLD_SIZE: "2" }, 2)).toBeUndefined();
    const alone = { perNode: 2, nodes: 1, node: 0, address: "127.0.0.1", port: undefined, maxRestarts: 0 };
    expect(launchPlan({}, 2)).toEqual(alone);
    expect(launchPlan({ FORCE_TORCHRUN: "1", NPROC_PER_NODE: "2" }, null)).toEqual(alone);
    const two = { FORCE_TORCHRUN: "true", NNODES: "2", NODE_RANK: "1", NPROC_PER_NODE: "3" };
    expect(
      launchPlan({ ...two, MASTER_ADDR: "10.0.0.1", MASTER_PORT: "1234", MAX_RESTARTS: "2" }, null),
    ).toEqual({ perNode: 3, nodes: 2, node: 1, address: "10.0.0.1", port: 1234, maxRestarts: 2 });
    expect(() => launchPlan(two, null)).toThrow(/MASTER_ADDR is not set/);
    expect(() => launchPlan({ ...two, NODE_RANK: "2" }, null)).toThrow(/NODE_RANK: 2 is not below NNODES 2/);
    expect(() => launchPlan({ FORCE_TORCHRUN: "1", NPROC_PER_NODE: "two" }, null)).toThrow(
      /NPROC_PER_NODE: "two"/,
    );
    expect(() => launchPlan({ FORCE_TORCHRUN: "1", RDZV_ID: "7" }, null)).toThrow(/RDZV_ID/);
  });
});

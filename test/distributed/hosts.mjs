// Two ranks on separate hosts, which are network namespaces with a cable between them: a recipe trains to its end, also
// over a slow cable, and where the cable is cut both ranks end in time, by name. Needs root, `ip` and `tc`, so it is no
// part of the test suite.
//   node test/distributed/hosts.mjs
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const program = path.join(root, "dist/cli/main.js");
const HEARTBEAT = 6;
const name = (host) => `qwen-pt-${process.pid}-${host}`;
const ip = (...args) => execFileSync("ip", args, { stdio: ["ignore", "pipe", "inherit"] });
const on = (host, ...args) => ip("netns", "exec", name(host), ...args);

function connect() {
  for (const host of [0, 1]) ip("netns", "add", name(host));
  ip("link", "add", "veth0", "netns", name(0), "type", "veth", "peer", "name", "veth1", "netns", name(1));
  for (const host of [0, 1]) {
    on(host, "ip", "addr", "add", `10.77.0.${host + 1}/24`, "dev", `veth${host}`);
    on(host, "ip", "link", "set", `veth${host}`, "up");
    on(host, "ip", "link", "set", "lo", "up");
  }
}

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-hosts-"));
const recipe = path.join(dir, "r.yaml");
writeFileSync(
  recipe,
  `model_name_or_path: ${path.join(root, "examples/model")}
stage: pt
do_train: true
finetuning_type: lora
dataset: prose
dataset_dir: ${path.join(root, "examples/data")}
max_samples: 40
cutoff_len: 64
per_device_train_batch_size: 1
gradient_accumulation_steps: 1
logging_steps: 1
save_strategy: "no"
use_cpu: true
ddp_timeout: 180000000
heartbeat_timeout: ${HEARTBEAT}
`,
);

/** Runs the recipe, a rank on each host; `seen` is told of rank 0's output so far. */
function train(keys, seen = () => {}) {
  const ranks = [0, 1].map((rank) => {
    const env = {
      ...process.env,
      RANK: rank,
      LOCAL_RANK: 0,
      WORLD_SIZE: 2,
      MASTER_ADDR: "10.77.0.1",
      MASTER_PORT: 29500,
      OMP_NUM_THREADS: 1,
      QWEN_PT_TOKEN_CACHE: "off",
    };
    const args = ["netns", "exec", name(rank), process.execPath, program, "train", recipe, ...keys];
    return new Promise((resolve) => {
      const child = spawn("ip", args, { env });
      const ended = { out: "", err: "" };
      child.stdout.on("data", (text) => {
        ended.out += text;
        if (rank === 0) seen(ended.out);
      });
      child.stderr.on("data", (text) => {
        ended.err += text;
      });
      child.on("close", (code) => resolve({ ...ended, code, at: performance.now() }));
    });
  });
  return Promise.all(ranks);
}

const losses = (folder) =>
  JSON.parse(readFileSync(path.join(dir, folder, "trainer_state.json"), "utf8"))
    .log_history.flatMap(({ loss }) => loss ?? [])
    .join();

function check(what, holds, more = "") {
  console.log(`${holds ? "ok    " : "FAILED"} ${what}${more}`);
  if (!holds) process.exitCode = 1;
}

try {
  connect();
  const timed = async (folder) => {
    const start = performance.now();
    const ended = await train(["max_steps=8", `output_dir=${path.join(dir, folder)}`]);
    return { codes: ended.map(({ code }) => code).join(), ms: performance.now() - start, err: ended[0].err };
  };
  const fast = await timed("fast");
  check("two hosts train a recipe", fast.codes === "0,0", `: ${(fast.ms / 1000).toFixed(1)} s ${fast.err}`);
  for (const host of [0, 1])
    on(
      host,
      "tc",
      "qdisc",
      "add",
      "dev",
      `veth${host}`,
      "root",
      "tbf",
      "rate",
      "20mbit",
      "burst",
      "32kbit",
      "latency",
      "400ms",
    );
  const slow = await timed("slow");
  check("over 20 Mbit/s too", slow.codes === "0,0", `: ${(slow.ms / 1000).toFixed(1)} s ${slow.err}`);
  check("with the same losses", losses("fast") === losses("slow"));

  let cut = 0;
  const ended = await train(["max_steps=100000", `output_dir=${path.join(dir, "cut")}`], (out) => {
    if (cut > 0 || !/^step 3\//m.test(out)) return;
    cut = performance.now();
    on(0, "ip", "link", "set", "veth0", "down");
  });
  for (const [rank, { code, err, at }] of ended.entries()) {
    const seconds = (at - cut) / 1000;
    check(
      `a cut cable ends rank ${rank} within ${HEARTBEAT} + 10 s`,
      code === 1 && seconds < HEARTBEAT + 10,
      `: after ${seconds.toFixed(1)} s: ${err.trim()}`,
    );
  }
} finally {
  for (const host of [0, 1]) ip("netns", "del", name(host));
  rmSync(dir, { recursive: true, force: true });
}

// Several processes beyond this machine: what the model (harness/scaling-model.mjs) says of clusters, and how the trainer's
// own work grows with their number. docs/scaling.md has the figures.
//   node bench/scaling.mjs                     the tables of GPUs
//   node bench/scaling.mjs --logic [--ranks 1,16,128,1024]
// --logic trains as rank 0 of N over c10d's FakeProcessGroup, whose collectives answer at once: nothing is measured but the
// trainer. A real store stands between N ranks that compare their recipes.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { operationsOf, parametersOf, predict, SIZES } from "./harness/scaling-model.mjs";
import { root } from "./harness/subject.mjs";

const { values } = parseArgs({
  options: {
    logic: { type: "boolean", default: false },
    ranks: { type: "string", default: "1,16,128,1024" },
  },
});

/** Tokens of a GPU's step, and of a row. */
const STEP = { tokens: 8192, row: 4096 };

function tables() {
  const counts = [8, 64, 1024, 16384];
  console.log(
    "model   parameters  operations a token   GPUs  memory a GPU  computing  sending  efficiency  prefetched",
  );
  for (const [name, size] of Object.entries(SIZES))
    for (const ranks of counts) {
      const { computing, sent, asItIs, prefetched, bytes } = predict(size, ranks, STEP);
      console.log(
        [
          name.padEnd(6),
          `${(parametersOf(size).all / 1e9).toFixed(2)} G`.padStart(11),
          `${(operationsOf(size, STEP.row) / 1e9).toFixed(1)} G`.padStart(13),
          String(ranks).padStart(13),
          `${(bytes / 1e9).toFixed(0)} GB`.padStart(10),
          `${(1000 * computing).toFixed(0)} ms`.padStart(12),
          `${(1000 * sent).toFixed(0)} ms`.padStart(9),
          `${(100 * asItIs).toFixed(0)} %`.padStart(9),
          `${(100 * prefetched).toFixed(0)} %`.padStart(10),
        ].join(" "),
      );
    }
}

/**
 * This process as rank 0 of many that there are not: the trainer's own World over c10d's FakeProcessGroup. What goes
 * through the store is answered here.
 */
async function fakeWorld(size) {
  const { distributedAddon } = await import("../dist/distributed/addon.js");
  const { World } = await import("../dist/distributed/index.js");
  const group = distributedAddon().joinFakeGroup(0, size);
  const world = new World({ rank: 0, size }, { place: { attempt: 0 }, group });
  const answers = {
    stopAsked: { value: false },
    agree: { value: async () => {} },
    firstOnRank0: { value: (_, work) => work() },
    askToStop: { value() {} },
    close: { value: () => distributedAddon().closeGroup(group) },
  };
  return Object.defineProperties(world, answers);
}

/** Seconds of a run's parts as rank 0 of `size`. */
async function asRank0(size, fsdp) {
  const { resolveRecipe, shardingOf } = await import("../dist/config/index.js");
  const { runJoined } = await import("../dist/train/whole-run/joined.js");
  const { dataParallel } = await import("../dist/train/strategy/data-parallel.js");
  const { sharded } = await import("../dist/train/strategy/sharded.js");
  const { oneProcess } = await import("../dist/train/strategy/strategy.js");
  const out = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-scaling-"));
  const loaded = resolveRecipe({
    model_name_or_path: path.join(root, "examples/model"),
    dataset: "prose",
    dataset_dir: path.join(root, "examples/data"),
    cutoff_len: 64,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    max_steps: 6,
    logging_steps: 1,
    save_strategy: fsdp === undefined ? "steps" : "no",
    save_steps: 6,
    output_dir: out,
    use_cpu: true,
    nproc_per_node: size,
    ...(fsdp !== undefined && { fsdp }),
  });
  const world = size > 1 ? await fakeWorld(size) : undefined;
  const sharding = size > 1 ? shardingOf(loaded.recipe) : undefined;
  const manyProcesses = () => (sharding === undefined ? dataParallel(world) : sharded(world, sharding));
  const strategy = world === undefined ? oneProcess : manyProcesses();
  const started = performance.now();
  const marks = [];
  const onEvent = ({ type }) => type === "step" && marks.push(performance.now());
  await runJoined(loaded, { onEvent }, strategy);
  if (size > 1) await world.close();
  const end = performance.now();
  const files = readdirSync(out, { recursive: true }).length;
  rmSync(out, { recursive: true, force: true });
  const steps = marks
    .slice(1)
    .map((at, i) => at - marks[i])
    .sort((a, b) => a - b);
  return { start: marks[0] - started, step: steps[steps.length >> 1], finish: end - marks.at(-1), files };
}

/** Milliseconds in which one rank finds its blocks of an epoch of ten million. */
async function sampling(size) {
  const { shareOfRank } = await import("../dist/train/strategy/batch-shares.js");
  const order = Int32Array.from({ length: 10_000_000 }, (_, at) => at);
  const started = performance.now();
  shareOfRank(order, 8, false, { rank: size - 1, size });
  return performance.now() - started;
}

/** Milliseconds in which `size` ranks compare forty facts through a store, by eight connections from this process. */
async function comparing(size) {
  const { agree, openRunStore } = await import("../dist/distributed/rendezvous.js");
  const place = {
    size,
    address: "127.0.0.1",
    port: 29700 + (process.pid % 200) + size,
    hasStore: false,
    attempt: 0,
  };
  const stores = [];
  for (let rank = 0; rank < Math.min(size, 8); rank++)
    stores.push(await openRunStore({ ...place, rank }, 60_000));
  const facts = Object.fromEntries(
    Array.from({ length: 40 }, (_, at) => [`key ${at}`, "some value of a recipe"]),
  );
  const started = performance.now();
  const storeOf = (rank) => stores[rank === 0 ? 0 : 1 + (rank % 7)] ?? stores[rank];
  const all = Array.from({ length: size }, (_, rank) =>
    agree(storeOf(rank), { ...place, rank }, "inputs", facts),
  );
  await Promise.all(all);
  return performance.now() - started;
}

async function logic() {
  const ms = (value) => `${value.toFixed(0)} ms`.padStart(12);
  console.log(
    "ranks    to step 1        step   save, finish  files   sharded: to 1        step    sampling   comparing",
  );
  await asRank0(1); // what is loaded at first use
  for (const size of values.ranks.split(",").map(Number)) {
    const whole = await asRank0(size);
    const parts = size === 1 ? undefined : await asRank0(size, "full_shard");
    const cells = [whole.start, whole.step, whole.finish].map(ms);
    const divided =
      parts === undefined ? ["", ""].map((x) => x.padStart(12)) : [parts.start, parts.step].map(ms);
    const alone = [await sampling(size), await comparing(size)].map(ms);
    console.log(
      [String(size).padEnd(5), ...cells, String(whole.files).padStart(6), ...divided, ...alone].join(" "),
    );
  }
}

if (values.logic) await logic();
else tables();

// node ranks.mjs MODEL RESULT cuda|cpu: what several cards need. On one card: NCCL's collectives in a world of one. On two or
// more: the bytes that an all-reduce moves a second, and a recipe by two processes, data in parallel and the model in parts,
// beside one process with twice the batch. What there are not enough cards for is said, and is no failure.
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const from = (name) => import(path.join(process.cwd(), "dist", name));
const own = fileURLToPath(import.meta.url);
const MEGABYTES = 256;
const STEPS = 8;
/** Seconds for one run of the recipe. */
const LIMIT = 40 * Number(process.env.PATIENCE ?? 1);

function freePort() {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Every collective that a run asks for, on one card: [name, whether the result is right]. */
async function worldOfOne() {
  const { distributedAddon } = await from("distributed/addon.js");
  const { cardLibrary, World } = await from("distributed/index.js");
  const { tensor } = await from("torch/index.js");
  const library = cardLibrary();
  if (library.fault) throw new Error(library.fault);
  const addon = distributedAddon();
  const store = await addon.openStore("127.0.0.1", 0, true, 60_000, "kit/");
  const group = await addon.joinGroup(store, 0, 1, 60_000, "127.0.0.1");
  await addon.joinCards(group, store, 0, 60_000);
  const world = new World({ rank: 0, size: 1 }, { place: { attempt: 0 }, group, cards: library.device });
  const results = [];
  for (const dtype of ["float32", "bfloat16", "float64", "int64"]) {
    const of = () => tensor([1, 2, 3, 4], { dtype }).to({ device: "cuda:0" });
    const same = (value) => `${value.to("float64").tolist().flat()}` === "1,2,3,4";
    results.push([`all-reduce, ${dtype}`, same(await world.allReduce(of()))]);
    results.push([`broadcast, ${dtype}`, same(await world.broadcast(of()))]);
    results.push([`all-gather, ${dtype}`, same(await world.allGather(of()))]);
    results.push([`reduce-scatter, ${dtype}`, same(world.beginPart(of()).take())]);
    const [sent, received] = [of(), of().zero_()];
    world.begin("allToAll", sent, received).wait();
    results.push([`all-to-all, ${dtype}`, same(received)]);
  }
  results.push(["sums on the host", (await world.sum([3]))[0] === 3]);
  await world.barrier();
  await addon.closeGroup(group);
  return results;
}

/** In each of two processes: rank 0 prints the seconds of an all-reduce. */
async function reduceAlone() {
  const { init } = await from("distributed/index.js");
  const { synchronize, zeros } = await from("torch/index.js");
  const world = await init({ backend: "nccl" });
  const value = zeros([MEGABYTES << 18], { device: "cuda:0" });
  const times = [];
  for (let i = 0; i < 12; i++) {
    await world.barrier();
    const start = performance.now();
    world.begin("allReduce", value).wait();
    synchronize("cuda:0");
    times.push((performance.now() - start) / 1000);
  }
  if (world.rank === 0) console.log(JSON.stringify(times.slice(2).sort((a, b) => a - b)[5]));
  await world.close();
}

async function reduceByTwo() {
  const port = String(await freePort());
  const ends = [0, 1].map((rank) => {
    const env = { RANK: rank, LOCAL_RANK: rank, WORLD_SIZE: 2, MASTER_ADDR: "127.0.0.1", MASTER_PORT: port };
    return lines(process.execPath, [own, "--reduce"], env);
  });
  const [{ said }] = await Promise.all(ends);
  const seconds = Number(said[0]?.text);
  return { megabytes: MEGABYTES, seconds, gigabytesPerSecond: MEGABYTES / 1024 / seconds };
}

/** Runs a command; its lines with the time at which each came. @throws where it fails or takes too long */
function lines(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const said = [];
    createInterface({ input: child.stdout }).on("line", (text) => said.push({ text, at: performance.now() }));
    const timer = setTimeout(() => child.kill("SIGTERM"), 1000 * LIMIT);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve({ said });
      else reject(new Error(signal ? `over ${LIMIT} s` : `it ended with ${code}: see log.txt`));
    });
  });
}

async function recipe(name, processes, keys) {
  const folder = path.join(path.dirname(model), `ranks-${processes}`);
  const given = {
    model_name_or_path: model,
    stage: "pt",
    do_train: true,
    finetuning_type: "full",
    dataset: "prose",
    dataset_dir: path.join(process.cwd(), "examples", "data"),
    cutoff_len: 512,
    output_dir: folder,
    overwrite_output_dir: true,
    max_steps: STEPS,
    logging_steps: 1,
    save_strategy: "no",
    learning_rate: 1e-5,
    bf16: true,
    report_to: "none",
    nproc_per_node: processes,
    per_device_train_batch_size: processes === 2 ? 2 : 4,
    ...keys,
  };
  const file = path.join(path.dirname(model), "ranks.json");
  writeFileSync(file, JSON.stringify(given));
  try {
    const { said } = await lines(process.execPath, ["dist/cli/main.js", "train", file, "--json"]);
    const steps = said.flatMap(({ text, at }) => {
      const event = JSON.parse(text);
      return event.type === "step" ? [{ loss: event.loss, bytes: event.memoryBytes, at }] : [];
    });
    const apart = steps.slice(1).map(({ at }, i) => (at - steps[i].at) / 1000);
    const seconds = apart.sort((a, b) => a - b)[apart.length >> 1];
    return {
      name,
      losses: steps.map(({ loss }) => loss),
      seconds,
      peakBytes: Math.max(...steps.map((one) => one.bytes)),
    };
  } catch (error) {
    return { name, error: error.message };
  }
}

/** The largest relative difference of two runs' losses: products in bfloat16 are not the same to the bit in another batch. */
function lossesApart(one, other) {
  return Math.max(...one.losses.map((loss, at) => Math.abs(loss / other.losses[at] - 1)));
}
const CLOSE = 0.01;

const [model, result, kind] = process.argv.slice(2);
if (model === "--reduce") await reduceAlone();
else {
  const answer = { collectives: [], runs: [] };
  const write = () => writeFileSync(result, `${JSON.stringify(answer, null, 2)}\n`);
  const listed = kind === "cpu" ? undefined : spawnSync("nvidia-smi", ["-L"], { encoding: "utf8" });
  const cards = (listed?.stdout ?? "").split("\n").filter((line) => line.startsWith("GPU ")).length;
  answer.cards = cards;
  if (kind === "cpu") answer.note = "NCCL needs a card";
  else {
    try {
      answer.collectives = await worldOfOne();
    } catch (error) {
      answer.error = error.message.split("\n")[0];
    }
    write();
    if (cards < 2) answer.note = "several processes need two cards";
    else if (answer.error === undefined) {
      answer.reduce = await reduceByTwo().catch(({ message }) => ({ error: message }));
      answer.runs.push(await recipe("one process", 1, {}));
      answer.runs.push(await recipe("two processes", 2, {}));
      answer.runs.push(await recipe("two processes, full_shard", 2, { fsdp: "full_shard auto_wrap" }));
      const [one, ...others] = answer.runs;
      for (const run of others) if (!one.error && !run.error) run.apart = lossesApart(run, one);
    }
  }
  write();
  console.log(JSON.stringify(answer));
  const isWrong =
    answer.error !== undefined ||
    answer.reduce?.error !== undefined ||
    answer.collectives.some(([, isRight]) => !isRight) ||
    answer.runs.some(({ error, apart }) => error !== undefined || apart > CLOSE);
  process.exitCode = isWrong ? 1 : 0;
}

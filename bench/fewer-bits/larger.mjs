// Models larger than the memory for their 16-bit weights: Qwen3's shapes with random weights, written shard by shard, then a
// few LoRA steps over them, in 4 bits (QLoRA) and in 16 with the weights left in their files (layer_offload: disk). Peak
// memory of the process, tokens/s, and seconds around the steps (the start, and quantizing on load).
//   node bench/fewer-bits/larger.mjs [1.7B] [4B] [8B] [--only WORD] [--tokens 512] [--steps 2] [--limit GB] [--keep]
// --only measures the ways whose names contain a word. --limit holds each run to that memory, pages of files included, by a control
// group (root, Linux); without one the peak is what is measured. Needs 3.4, 8.0 or 16.4 GB of disk at a time;
// the models are removed unless --keep.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { measure } from "../harness/processes.mjs";
import { cli, ensureModel, gigabytes, root, table, tutorialRecipe } from "../harness/subject.mjs";

const SIZES = ["1.7B", "4B", "8B"];
const WAYS = {
  "QLoRA (NF4)": { quantization_bit: 4, upcast_layernorm: true },
  "16 bits from disk": { layer_offload: "disk" },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", default: "" },
    tokens: { type: "string", default: "512" },
    steps: { type: "string", default: "2" },
    limit: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const unknown = positionals.find((size) => !SIZES.includes(size));
if (unknown !== undefined) {
  console.error(`no size is called ${unknown}; there are ${SIZES.join(", ")}`);
  process.exit(1);
}
const tokens = Number(values.tokens);
const steps = Number(values.steps);
const folder = path.join(root, ".bench");
mkdirSync(folder, { recursive: true });

/** A cgroup below this process's, with that many bytes; undefined where none can be made, which is said. */
function limitedGroup(bytes) {
  const lines = readFileSync("/proc/self/cgroup", "utf8").split("\n");
  const first = lines.find((line) => /^\d+:([^:]*,)?memory(,[^:]*)?:/.test(line));
  const parent =
    first !== undefined
      ? `/sys/fs/cgroup/memory${first.split(":")[2]}`
      : `/sys/fs/cgroup${lines[0]?.split(":")[2] ?? ""}`;
  const group = path.join(parent, `qwen-pt-bench-${process.pid}`);
  try {
    mkdirSync(group);
    writeFileSync(path.join(group, first ? "memory.limit_in_bytes" : "memory.max"), String(bytes));
    return group;
  } catch (error) {
    if (existsSync(group)) rmdirSync(group);
    console.error(`no limit: a cgroup cannot be made here (${error.message})`);
    return undefined;
  }
}

function ensureShape(size) {
  const made = path.join(folder, `shape-${size}`);
  if (existsSync(path.join(made, "config.json"))) return made;
  const options = { stdio: ["ignore", "inherit", "inherit"] };
  const { status } = spawnSync(
    process.execPath,
    [path.join(root, "bench", "fewer-bits", "make_shapes.mjs"), size, made],
    options,
  );
  if (status !== 0) throw new Error(`the ${size} shape could not be written`);
  return made;
}

async function trainOnce(size, model, name, keys) {
  const id = `larger-${size}-${name}`.replaceAll(/[^a-z0-9.]+/gi, "-").toLowerCase();
  const output = path.join(folder, id);
  rmSync(output, { recursive: true, force: true });
  const recipe = `${output}.yaml`;
  const log = `${output}.log`;
  const own = {
    cutoff_len: tokens,
    max_steps: steps,
    gradient_accumulation_steps: 1,
    save_strategy: "no",
    ...keys,
  };
  writeFileSync(recipe, tutorialRecipe(model, output, own));
  const group = values.limit === undefined ? undefined : limitedGroup(Number(values.limit) * 1e9);
  const [program, ...args] =
    group === undefined
      ? [process.execPath, cli, "train", recipe]
      : [
          "sh",
          "-c",
          'echo $$ > "$1/cgroup.procs"; shift; exec "$@"',
          "sh",
          group,
          process.execPath,
          cli,
          "train",
          recipe,
        ];
  const env = { ...process.env, QWEN_PT_CACHE: path.join(folder, "cache") };
  const run = await measure(program, args, { cwd: folder, env, log });
  if (group !== undefined) rmdirSync(group);
  if (run.status !== 0) return [size, name, `ended with ${run.status}: ${log}`];
  const { train_runtime: seconds } = JSON.parse(
    readFileSync(path.join(output, "train_results.json"), "utf8"),
  );
  rmSync(output, { recursive: true, force: true });
  return [
    size,
    name,
    gigabytes(run.peakBytes),
    group === undefined ? "none" : `${values.limit} GB`,
    ((tokens * steps) / seconds).toFixed(1),
    (run.seconds - seconds).toFixed(1),
  ];
}

ensureModel(folder, await ensureReference()); // for its tokenizer
const rows = [["model", "frozen layers", "peak", "limit", "tokens/s", "s around the steps"]];
for (const size of positionals.length > 0 ? positionals : SIZES) {
  const model = ensureShape(size);
  for (const [name, keys] of Object.entries(WAYS)) {
    if (!name.toLowerCase().includes(values.only.toLowerCase())) continue;
    process.stderr.write(`larger: ${size}, ${name}\n`);
    rows.push(await trainOnce(size, model, name, keys));
  }
  if (!values.keep) rmSync(model, { recursive: true, force: true });
}
table(rows);

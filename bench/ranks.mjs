// Several processes measured on this machine: the tutorial's kind of recipe on the embedded model by N processes that share
// its threads, the bytes that a step sends against the theory, the share of the time in which gradients move that the
// backward pass hides, and how long the step's collectives take alone.
// docs/distributed.md has the figures.
//   node bench/ranks.mjs [--ranks 1,2,4] [--steps 12] [--keys finetuning_type=full,...]
// Bytes are the loopback's, so nothing else should talk over it meanwhile. Linux.
import diagnostics from "node:diagnostics_channel";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loopbackBytes, runRanks } from "./harness/ranks.mjs";
import { sentOf } from "./harness/scaling-model.mjs";
import { median, root } from "./harness/subject.mjs";

const { values } = parseArgs({
  options: {
    ranks: { type: "string", default: "1,2" },
    steps: { type: "string", default: "12" },
    keys: { type: "string", default: "" },
    out: { type: "string" }, // for a rank: where the run writes
  },
});

/** In a process for each rank: the run; rank 0 prints a line of JSON. */
async function oneRank() {
  const { resolveRecipe } = await import("../dist/config/index.js");
  const { runRecipe } = await import("../dist/train/index.js");
  const { init } = await import("../dist/public/distributed.js");
  const { empty } = await import("../dist/public/torch.js");
  const overrides = values.keys.split(",").filter(Boolean);
  const size = Number(process.env.WORLD_SIZE ?? 1);
  const given = {
    model_name_or_path: path.join(root, "examples/model"),
    finetuning_type: "lora",
    dataset: "prose",
    dataset_dir: path.join(root, "examples/data"),
    cutoff_len: 256,
    // a step sees as many blocks however many processes there are
    per_device_train_batch_size: 4 / size,
    gradient_accumulation_steps: 2,
    max_steps: Number(values.steps),
    output_dir: values.out,
    overwrite_output_dir: true,
    save_strategy: "no",
    logging_steps: 1000,
    use_cpu: true,
  };
  const { recipe } = resolveRecipe(given, { overrides });
  const marks = [];
  const gradients = [];
  diagnostics.subscribe("qwen-pt:gradients", (times) => gradients.push(times));
  let trainable = 0;
  await runRecipe(
    { recipe, given: new Set(), notes: [] },
    {
      onEvent: (event) => {
        if (event.type === "model") trainable = event.trainable;
        if (event.type === "step")
          marks.push({ at: performance.now(), bytes: loopbackBytes(), tokens: event.tokens });
      },
    },
  );
  process.env.MASTER_PORT = String(Number(process.env.MASTER_PORT ?? 0) + 1);
  const world = await init();
  [trainable] = await world.sum([trainable]); // rank 0 alone was told
  const flat = empty([trainable], { dtype: "float32" }).zero_();
  const alone = [];
  for (let i = 0; i < 12; i++) {
    const start = performance.now();
    await world.allReduce(flat);
    alone.push(performance.now() - start);
  }
  await world.close();
  if (Number(process.env.RANK ?? 0) > 0) return;
  const each = marks.slice(1).map((mark, i) => ({
    ms: mark.at - marks[i].at,
    bytes: mark.bytes - marks[i].bytes,
    tokens: mark.tokens,
  }));
  const sum = (key) => gradients.slice(1).reduce((all, times) => all + times[key], 0);
  const ms = median(each.map((step) => step.ms));
  console.log(
    JSON.stringify({
      size,
      ms,
      tokensPerSecond: (1000 * each[0].tokens) / ms,
      bytes: median(each.map((step) => step.bytes)),
      theory: size * sentOf(trainable, 4, size, "none"), // of all ranks together
      movingMs: size === 1 ? 0 : median(gradients.slice(1).map(({ sent }) => sent)),
      hidden: size === 1 ? 0 : sum("hidden") / sum("sent"),
      allReduceMs: size === 1 ? 0 : median(alone),
    }),
  );
}

async function ranks(size) {
  const dir = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-ranks-"));
  const threads = Math.max(1, Math.floor(os.availableParallelism() / size));
  const args = ["--out", dir, "--steps", values.steps, "--keys", values.keys];
  const found = await runRanks(size, threads, [fileURLToPath(import.meta.url), ...args]);
  rmSync(dir, { recursive: true, force: true });
  return { ...found, threads };
}

if (values.out !== undefined) await oneRank();
else {
  console.log(
    "processes x threads   step ms   tokens/s   sent a step   theory   moving ms   hidden   all-reduce alone ms",
  );
  for (const size of values.ranks.split(",").map(Number)) {
    const { threads, ms, tokensPerSecond, bytes, theory, movingMs, hidden, allReduceMs } = await ranks(size);
    const mb = (count) => `${(count / 1e6).toFixed(2)} MB`;
    console.log(
      [
        `${size} x ${threads}`.padEnd(19),
        ms.toFixed(0).padStart(10),
        tokensPerSecond.toFixed(0).padStart(10),
        mb(size === 1 ? 0 : bytes).padStart(13),
        mb(theory).padStart(10),
        movingMs.toFixed(1).padStart(9),
        `${(100 * hidden).toFixed(0)} %`.padStart(9),
        allReduceMs.toFixed(1).padStart(12),
      ].join(" "),
    );
  }
}

// Breaks one rule of the numbers after the other, in a copy of the sources, and shows which recipes of
// test/train/parity.test.ts notice: each break must turn at least one red. `npm run breaks` (build first; it takes
// minutes), `npm run breaks -- NAME ...` for some of them.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** name, file, what is replaced by what, and the recipes that are asked (a pattern). */
export const BREAKS = [
  [
    "seed + 1",
    "lib/train/setup/prepare.ts",
    "manualSeed(recipe.seed);\n  const",
    "manualSeed(recipe.seed + 1);\n  const",
    "^lora$|linear",
  ],
  [
    "cutoff_len kept with packing: true",
    "lib/config/rules/train.ts",
    "recipe.cutoff_len -= 1;",
    "",
    "packing-true",
  ],
  [
    "cutoff_len - 1",
    "lib/data/blocks/packing.ts",
    "if (!layout.packing) return new",
    "layout = { ...layout, blockLength: layout.blockLength - 1 };\n  if (!layout.packing) return new",
    "^lora$|^unpacked$",
  ],
  [
    "a kept tail",
    "lib/data/blocks/packing.ts",
    "Math.floor((corpus.start(to) - start) / layout.blockLength)",
    "Math.ceil((corpus.start(to) - start) / layout.blockLength) - Number(to === corpus.documents)",
    "^lora$|two-datasets",
  ],
  [
    "no worker shards",
    "lib/data/blocks/packing.ts",
    "Math.max(1, Math.min(workers, documents))",
    "1",
    "^lora$|two-datasets|linear",
  ],
  [
    "warm-up off by one",
    "lib/optim/schedule.ts",
    "return step / Math.max(1, warmupSteps);",
    "return (step + 1) / Math.max(1, warmupSteps);",
    "^lora$|linear",
  ],
  [
    "mean of micro-steps' means",
    "lib/train/loop/optimizer-step.ts",
    "scale = window.labelled === 0 ? 0 : 1 / window.labelled",
    "scale = 1 / (window.batches.length * batch.labels.filter((label) => label !== -100).length)",
    "^unpacked$|^lora$",
  ],
  [
    "loss over the shifted count",
    "lib/train/loop/optimizer-step.ts",
    "scale = window.labelled === 0 ? 0 : 1 / window.labelled",
    "scale = 1 / (window.labelled - window.batches.length * batch.batch)",
    "^lora$",
  ],
  ["A drawn once", "lib/peft/lora.ts", "redraw(this.lora_A);", "", "^lora$|linear"],
  [
    "the same order in every epoch",
    "lib/data/blocks/sampler.ts",
    "this.#seed + epoch",
    "this.#seed",
    "^lora$|linear",
  ],
  [
    "no draw of the data loader",
    "lib/step/loader-seed.ts",
    'scope(() => random(empty([], { dtype: "int64" })));',
    "",
    "^dropout$|eval-steps",
  ],
  [
    "epsilon outside the root",
    "lib/nn/norm.ts",
    "return normalize(x, this.weight, this.eps);",
    "return this.weight.mul(x.div(x.pow(2).mean([-1], { keepdim: true }).sqrt().add(this.eps)));",
    "^full$|^lora$",
  ],
  [
    "norms decay too",
    "lib/optim/groups.ts",
    "return !EXEMPT.some((pattern) => pattern.test(name.toLowerCase()));",
    "return name !== '';",
    "decay-and-clip",
  ],
  [
    "clipping at twice the norm",
    "lib/optim/clip.ts",
    ".mul(maxNorm)",
    ".mul(2 * maxNorm)",
    "decay-and-clip|^full$",
  ],
  [
    "batches of an evaluation count alike",
    "lib/evaluate/held-out-loss.ts",
    "sum += counted * lossOf(",
    "sum += counted ** 0 * lossOf(",
    "eval-steps|eval-each",
  ],
  [
    "patience one longer",
    "lib/train/plan/best.ts",
    "this.#state.waited >= patience",
    "this.#state.waited > patience",
    "eval-epoch-best",
  ],
  [
    "LoRA+ hastens A",
    "lib/optim/groups.ts",
    'name.includes("lora_B")',
    'name.includes("lora_A")',
    "loraplus",
  ],
  [
    "SGD's decay beside its gradient",
    "lib/optim/sgd.ts",
    "if (weightDecay !== 0) directions",
    "if (weightDecay > 9) directions",
    "sgd",
  ],
  [
    "Adafactor's updates as long as they come",
    "lib/optim/adafactor/adafactor.ts",
    "update.div_(meanSquareRoot.div(this.#clipThreshold).clamp(1)).mul_(learningRate)",
    "update.mul_(learningRate)",
    "adafactor",
  ],
  [
    "DoRA's norm with a gradient",
    "lib/peft/dora.ts",
    "const norm = scope(() =>\n    noGrad(() => {",
    "const norm = ((body: () => Tensor) => body())(() =>\n    ((body: () => Tensor) => body())(() => {",
    "^dora$",
  ],
  [
    "rank instead of its root",
    "lib/peft/lora.ts",
    "config.rankStabilized ? Math.sqrt(config.rank) : config.rank",
    "config.rank",
    "rslora",
  ],
  [
    "PiSSA leaves the weight whole",
    "lib/peft/pissa.ts",
    "wide.sub(b.mul(scaling).matmul(a)).to(weight.dtype)",
    "wide.to(weight.dtype)",
    "^pissa$",
  ],
  [
    "NEFTune by the width alone",
    "lib/step/neftune.ts",
    "Math.sqrt(rowLength * width)",
    "Math.sqrt(width)",
    "^neftune$",
  ],
  [
    "new rows without noise",
    "lib/models/resize-vocabulary.ts",
    ".normal_(0, std);\n        weight",
    ".zero_();\n        weight",
    "new-tokens",
  ],
  [
    "stable phase of half the rest",
    "lib/optim/schedule.ts",
    "settings.num_stable_steps ?? Math.floor(after / 3)",
    "settings.num_stable_steps ?? Math.floor(after / 2)",
    "stable-decay",
  ],
];

/** The recipes that fail in a copy of the sources with one rule broken. */
function red([name, file, from, to, asked]) {
  const copy = mkdtempSync(path.join(tmpdir(), "qwen-pt-breaks-"));
  try {
    for (const part of [
      "lib",
      "test",
      "scripts",
      "examples",
      "assets",
      "package.json",
      "tsconfig.json",
      "vitest.config.ts",
    ])
      cpSync(path.join(ROOT, part), path.join(copy, part), { recursive: true });
    for (const part of ["node_modules", "build", "dist", ".libtorch", ".reference"])
      symlinkSync(path.join(ROOT, part), path.join(copy, part));
    const source = readFileSync(path.join(copy, file), "utf8");
    if (!source.includes(from)) throw new Error(`${name}: ${file} no longer has ${JSON.stringify(from)}`);
    writeFileSync(path.join(copy, file), source.replace(from, to));
    const vitest = path.join(ROOT, "node_modules", "vitest", "vitest.mjs");
    const report = path.join(copy, "report.json");
    const pattern = asked.replaceAll("^", " ");
    const args = [
      vitest,
      "run",
      "test/train/parity.test.ts",
      "-t",
      pattern,
      "--reporter=json",
      `--outputFile=${report}`,
    ];
    spawnSync(process.execPath, args, { cwd: copy, stdio: "ignore" });
    const { testResults } = JSON.parse(readFileSync(report, "utf8"));
    const results = testResults.flatMap(({ assertionResults }) => assertionResults);
    const crashed = results.find(
      ({ failureMessages }) => failureMessages.length > 0 && !failureMessages[0].startsWith("AssertionError"),
    );
    if (crashed !== undefined)
      throw new Error(`${name}: ${crashed.title} crashed: ${crashed.failureMessages[0]}`);
    return {
      red: results.filter(({ status }) => status === "failed").map(({ title }) => title),
      green: results.filter(({ status }) => status === "passed").map(({ title }) => title),
    };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function run(wanted) {
  let unseen = 0;
  for (const one of BREAKS.filter(([name]) => wanted.length === 0 || wanted.includes(name))) {
    const found = red(one);
    if (found.red.length === 0) unseen++;
    const green = found.green.length === 0 ? "" : `   (green: ${found.green.join(", ")})`;
    process.stdout.write(`${one[0].padEnd(38)} ${found.red.join(", ") || "UNSEEN"}${green}\n`);
  }
  process.exitCode = unseen === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) run(process.argv.slice(2));

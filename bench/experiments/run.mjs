// `npm run experiments`: trains the settings of settings.mjs on the embedded model, over three seeds, keeps what each
// gave in results/, and writes the tables and pictures of docs/incremental-pretraining.md again. A run that is kept is
// not made again: remove its file, or its entry, to repeat it.
//   npm run experiments [-- NAME ...] [--seeds 3] [--tables]
// NAME are experiments; --tables writes tables and pictures alone.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { train } from "../../dist/index.js";
import { dataFolder, prepareCorpora, root, work } from "./corpora.mjs";
import { BASE, EXPERIMENTS } from "./settings.mjs";
import { writeTables } from "./tables.mjs";

const results = path.join(root, "bench", "experiments", "results");
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: "string", default: "3" }, tables: { type: "boolean", default: false } },
});
const unknown = positionals.find((name) => !Object.hasOwn(EXPERIMENTS, name));
if (unknown !== undefined) {
  console.error(`no experiment ${unknown}; there are: ${Object.keys(EXPERIMENTS).join(", ")}`);
  process.exit(1);
}

const resultFile = (name) => path.join(results, `${name}.json`);
const kept = (name) =>
  existsSync(resultFile(name)) ? JSON.parse(readFileSync(resultFile(name), "utf8")) : {};

/** Written whole, so that an interruption loses no more than the run that is under way. */
function keep(name, runs) {
  mkdirSync(results, { recursive: true });
  writeFileSync(`${resultFile(name)}.new`, `${JSON.stringify(runs, null, 1)}\n`);
  renameSync(`${resultFile(name)}.new`, resultFile(name));
}

const rounded = (value) => Number(value.toPrecision(7));
const figures = ({ bitsPerCharacter, perplexity, accuracy, tokens, characters }) => ({
  bitsPerCharacter: rounded(bitsPerCharacter),
  perplexity: rounded(perplexity),
  accuracy: rounded(accuracy),
  tokens,
  characters,
});

const output_dir = path.join(work, `run-${process.pid}`);

const recipeOf = (keys, seed) => ({
  ...BASE,
  model_name_or_path: path.join(root, "examples", "model"),
  dataset_dir: dataFolder,
  ...keys,
  seed,
  output_dir,
});

/** Memory and time, by a separate process. */
function measured(keys, seed) {
  const recipe = { ...recipeOf(keys, seed), eval_domains: null };
  const program = path.join(root, "bench", "experiments", "measure.mjs");
  const env = { ...process.env, OMP_NUM_THREADS: "1" };
  const out = execFileSync(process.execPath, [program, JSON.stringify(recipe)], { env, encoding: "utf8" });
  return JSON.parse(out.trim().split("\n").at(-1));
}

async function runOnce(keys, seed) {
  rmSync(output_dir, { recursive: true, force: true });
  const said = [];
  const started = performance.now();
  const recipe = recipeOf(keys, seed);
  const logged = {};
  const result = await train(recipe, {
    onEvent: (event) => {
      if (event.type === "message" && event.level === "info") said.push(event.text);
      if (event.type === "log") Object.assign(logged, event.entry);
    },
  });
  return {
    seconds: Math.round((performance.now() - started) / 100) / 10,
    trainLoss: rounded(result.trainLoss),
    logged: Object.fromEntries(Object.entries(logged).filter(([key]) => /^(?:loss|share)_/.test(key))),
    said: said.filter((text) => /^(?:time decay| {2}\d|extend_vocab)/.test(text)),
    domains: Object.fromEntries(
      Object.entries(result.domains).map(([domain, { before, after }]) => [
        domain,
        { before: figures(before), after: figures(after) },
      ]),
    ),
  };
}

const { names, missing } = options.tables ? { names: [] } : await prepareCorpora();
if (missing !== undefined)
  console.log(
    `npm could not fetch chinese-poetry 2.0.1 and opencc-js 1.0.5 (${missing}): experiments that need their texts are left out`,
  );
const wanted = positionals.length > 0 ? positionals : Object.keys(EXPERIMENTS);
for (const name of options.tables ? [] : wanted) {
  const { needs, settings, measured: isMeasured } = EXPERIMENTS[name];
  const lacking = needs.find((dataset) => !names.includes(dataset));
  if (lacking !== undefined) {
    console.log(`${name}: left out, ${lacking} is not there`);
    continue;
  }
  for (let seed = 1; seed <= (isMeasured ? 1 : Number(options.seeds)); seed++) {
    for (const [setting, { keys }] of Object.entries(settings)) {
      if (kept(name)[setting]?.[seed] !== undefined) continue;
      const run = isMeasured ? measured(keys, seed) : await runOnce(keys, seed);
      const runs = kept(name);
      keep(name, { ...runs, [setting]: { ...runs[setting], [seed]: run } });
      if (isMeasured) {
        console.log(`${name}: ${setting}: ${JSON.stringify(run)}`);
        continue;
      }
      const bits = Object.entries(run.domains).map(
        ([domain, { before, after }]) =>
          `${domain} ${before.bitsPerCharacter.toFixed(3)} -> ${after.bitsPerCharacter.toFixed(3)}`,
      );
      console.log(`${name}: ${setting}, seed ${seed}: ${bits.join(", ")} (${run.seconds} s)`);
    }
  }
}
rmSync(output_dir, { recursive: true, force: true });
await writeTables(root, results);
console.log(`tables and pictures written (${os.availableParallelism()} cores)`);

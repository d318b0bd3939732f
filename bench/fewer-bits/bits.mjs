// What a base in fewer bits does to what is learned: perplexity of held-out text before and after 200 LoRA steps of the
// embedded model on the essays, over the base that was trained on, and of its adapter over the original weights, over three
// seeds. The processor's own products.
//   node bench/fewer-bits/bits.mjs [--quick]
// A bench that was interrupted goes on: a training that is finished is not run again.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BASES } from "../harness/bases.mjs";
import { Rows } from "../harness/rows.mjs";
import { child, root, table } from "../harness/subject.mjs";

const SEEDS = [1, 2, 3];

function trainOne({ folder, name, seed, steps }) {
  process.stderr.write(`bits: ${name}, seed ${seed}\n`);
  const options = {
    model: path.join(root, "examples", "model"),
    data: path.join(root, "examples", "data"),
    output: path.join(folder, "out-bits", name.replaceAll(/\W+/g, "-")),
    seed,
    steps,
    bf16: true,
    keys: BASES[name],
    isBase: true,
  };
  // layers this small gain nothing from a second thread, and one thread always sums in the same order
  return child("programs/quality_run.mjs", [JSON.stringify(options)], { OMP_NUM_THREADS: "1" });
}

/**
 * The section `bits` of the bench.
 * @param {{folder: string, quick?: boolean}} options `quick`: one seed, 20 steps
 */
export async function run({ folder, quick = false }) {
  mkdirSync(folder, { recursive: true });
  const rows = new Rows(folder, "bits", { quick });
  const steps = quick ? 20 : 200;
  const runs = Object.fromEntries(Object.keys(BASES).map((name) => [name, []]));
  for (const seed of quick ? SEEDS.slice(0, 1) : SEEDS)
    for (const [name, found] of Object.entries(runs))
      found.push(await rows.row(`${name}, seed ${seed}`, () => trainOne({ folder, name, seed, steps })));
  const perplexities = (losses) => losses.map(Math.exp);
  const bases = Object.entries(runs).map(([name, found]) => ({
    name,
    before: Math.exp(found[0].beforeLoss),
    after: perplexities(found.map((one) => one.ownLoss)),
    original: perplexities(found.map((one) => one.loss)),
    // how far a mean of ten steps' training losses is from 16 bits' at most
    curve: Math.max(
      ...found.flatMap(({ curve }, seed) =>
        curve.map((loss, i) => Math.abs(loss / runs["16 bits"][seed].curve[i] - 1)),
      ),
    ),
  }));
  print(bases);
  rows.clear();
  return { steps, bases };
}

function print(bases) {
  const each = (values) => values.map((value) => value.toFixed(2)).join(" ");
  table([
    ["perplexity over a base of", "before", "after, each seed", "adapters over the original", "curve"],
    ...bases.map(({ name, before, after, original, curve }) => [
      name,
      before.toFixed(2),
      each(after),
      each(original),
      `${(100 * curve).toFixed(3)} %`,
    ]),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: path.join(root, ".bench"), quick: values.quick });
}

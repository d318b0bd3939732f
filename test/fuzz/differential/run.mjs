// `npm run fuzz:differential -- --count N --seed S`: files and folders of every dialect, read here and by the reference
// (datasets, transformers, PEFT in LLaMA-Factory's environment, installed into .bench/ where it is missing, about 3 GB).
// `--write` keeps the reference's answers for the suite: test/fixtures/fuzz/differential.json.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureLlamaFactory } from "../../../bench/environments/llamafactory.mjs";
import { outcomeOf, readCase } from "./compare.mjs";
import { makeCase } from "./generate.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values } = parseArgs({
  options: {
    count: { type: "string", default: "500" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    write: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});
const [count, seed, from] = [values.count, values.seed, values.from].map(Number);
const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-differential-"));
try {
  const cases = Array.from({ length: count }, (_, i) => makeCase(seed, from + i, folder));
  const { python } = ensureLlamaFactory(here("../../../.bench"));
  const answers = new Map();
  // pyarrow may end its process at a file: that case counts as refused, and the rest is asked again
  for (let rest = cases; rest.length > 0; rest = cases.filter(({ index }) => !answers.has(index))) {
    const asked = spawnSync(python, [here("reference.py")], {
      input: JSON.stringify(rest),
      encoding: "utf8",
      maxBuffer: 1 << 30,
      env: { ...process.env, OMP_NUM_THREADS: "1" },
    });
    const lines = asked.stdout
      .split("\n")
      .filter((line) => line.startsWith('{"index"') && line.endsWith("}"));
    for (const { index, ...answer } of lines.map((line) => JSON.parse(line))) answers.set(index, answer);
    if (asked.status === 0 && lines.length === rest.length) break;
    if (asked.signal === null) throw new Error(`the reference ended: ${asked.stderr.slice(-600)}`);
    answers.set(rest[lines.length].index, { refused: `its process died: ${asked.signal}` });
  }
  const counts = {};
  let divergent = 0;
  for (const one of cases) {
    const outcome = outcomeOf(one.kind, await readCase(one), answers.get(one.index));
    const short = /^(?:broken|differs|refused here: )/.test(outcome) ? "DIVERGES" : outcome;
    counts[one.kind] ??= {};
    counts[one.kind][short] = (counts[one.kind][short] ?? 0) + 1;
    if (short !== "DIVERGES") continue;
    divergent++;
    console.log(`case ${one.index}, ${one.kind}: ${outcome.replaceAll(folder, "")}`);
  }
  for (const [kind, found] of Object.entries(counts)) {
    const parts = Object.entries(found).map(([outcome, cases]) => `${outcome} ${cases}`);
    console.log(`${kind.padEnd(10)} ${parts.join(", ")}`);
  }
  console.log(`seed ${seed}, ${count} cases: ${divergent} diverge`);
  if (values.write) {
    const file = here("../../fixtures/fuzz/differential.json");
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(
      file,
      `${JSON.stringify({ seed, answers: cases.map(({ index }) => answers.get(index)) })}\n`,
    );
  }
  process.exitCode = divergent > 0 ? 1 : 0;
} finally {
  if (values.keep) console.log(folder);
  else rmSync(folder, { recursive: true, force: true });
}

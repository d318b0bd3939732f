// `npm run fuzz -- --count N --seed S [--kinds a,b] [--from I]`: fuzz.mjs from the command line. A fault is printed with
// the number of its case; `--count 1 --from I` with the same seed makes it again. `--record FILE` keeps the counts of a
// long run, batch by batch, and the same command goes on where it stands.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { fuzz, OUTCOMES } from "./fuzz.mjs";
import { KINDS } from "./kinds.mjs";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    kinds: { type: "string" },
    from: { type: "string", default: "0" },
    record: { type: "string" },
  },
});
const [count, seed, first] = [values.count, values.seed, values.from].map(Number);

/** What earlier parts of a recorded run found. */
function earlier() {
  const empty = { seed, first, next: first, counts: {}, faults: [] };
  if (values.record === undefined || !existsSync(values.record)) return empty;
  const kept = JSON.parse(readFileSync(values.record, "utf8"));
  if (kept.seed !== seed || kept.first !== first)
    throw new Error(`${values.record}: is of seed ${kept.seed}, from ${kept.first}; take another file`);
  return kept;
}

const total = earlier();
function add(counts) {
  for (const [kind, found] of Object.entries(counts)) {
    total.counts[kind] ??= Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0]));
    for (const outcome of OUTCOMES) total.counts[kind][outcome] += found[outcome];
  }
}

function print() {
  const row = (name, found) =>
    console.log([name.padEnd(14), ...OUTCOMES.map((outcome) => String(found[outcome]).padStart(9))].join(""));
  row("", Object.fromEntries(OUTCOMES.map((outcome) => [outcome, outcome])));
  const sum = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0]));
  for (const kind of Object.keys(KINDS).filter((name) => total.counts[name])) {
    for (const outcome of OUTCOMES) sum[outcome] += total.counts[kind][outcome];
    row(kind, total.counts[kind]);
  }
  row("all", sum);
}

const start = performance.now();
const left = first + count - total.next;
let before = {};
await fuzz({
  count: Math.max(0, left),
  seed,
  from: total.next,
  ...(values.kinds && { kinds: values.kinds.split(",") }),
  onFault: (fault) => {
    total.faults.push(fault);
    console.log(`${fault.outcome}: case ${fault.index}, ${fault.kind}: ${fault.message}`);
  },
  onBatch: (next, counts) => {
    add(less(counts, before));
    before = structuredClone(counts);
    total.next = next;
    console.log(`up to case ${next}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
    if (values.record === undefined) return;
    writeFileSync(`${values.record}.part`, JSON.stringify(total));
    renameSync(`${values.record}.part`, values.record);
  },
});

/** Counts that came since `old`. */
function less(counts, old) {
  const since = (kind) =>
    OUTCOMES.map((outcome) => [outcome, counts[kind][outcome] - (old[kind]?.[outcome] ?? 0)]);
  return Object.fromEntries(Object.keys(counts).map((kind) => [kind, Object.fromEntries(since(kind))]));
}

print();
const rate = left / ((performance.now() - start) / 1000);
console.log(
  `seed ${seed}, cases ${first} to ${total.next - 1}, ${total.faults.length} faults; ${rate.toFixed(0)} files a second`,
);
process.exitCode = total.faults.length > 0 ? 1 : 0;

// `npm run fuzz -- --count N --seed S [--kinds a,b] [--from I]`: fuzz.mjs from the command line. A fault is printed with
// the number of its case; `--count 1 --from I` with the same seed makes it again, and FUZZ_KEEP=1 leaves its file.
import { parseArgs } from "node:util";
import { fuzz, OUTCOMES } from "./fuzz.mjs";
import { KINDS } from "./kinds.mjs";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    kinds: { type: "string" },
    from: { type: "string", default: "0" },
  },
});
const start = performance.now();
const { counts, faults } = await fuzz({
  count: Number(values.count),
  seed: Number(values.seed),
  from: Number(values.from),
  ...(values.kinds && { kinds: values.kinds.split(",") }),
  onFault: ({ index, kind, outcome, message }) =>
    console.log(`${outcome}: case ${index}, ${kind}: ${message}`),
  onProgress: (done) => {
    if (done % 5000 === 0)
      console.log(`${done} cases in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  },
});
const row = (name, found) =>
  console.log([name.padEnd(14), ...OUTCOMES.map((outcome) => String(found[outcome]).padStart(9))].join(""));
row("", Object.fromEntries(OUTCOMES.map((outcome) => [outcome, outcome])));
const sum = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0]));
for (const kind of Object.keys(KINDS).filter((name) => counts[name])) {
  for (const outcome of OUTCOMES) sum[outcome] += counts[kind][outcome];
  row(kind, counts[kind]);
}
row("all", sum);
const seconds = (performance.now() - start) / 1000;
console.log(
  `seed ${values.seed}, cases ${values.from} to ${Number(values.from) + Number(values.count) - 1}, ` +
    `${faults.length} faults; ${seconds.toFixed(0)} s, ${(Number(values.count) / seconds).toFixed(0)} files a second`,
);
process.exitCode = faults.length > 0 ? 1 : 0;

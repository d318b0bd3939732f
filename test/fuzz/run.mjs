// `npm run fuzz -- --count N --seed S [--kinds a,b] [--from I]`: fuzz.mjs from the command line. A fault is printed with
// the number of its case; `--count 1 --from I` makes it again, and FUZZ_KEEP=1 leaves its file.
import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.mjs";

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
  onFault: ({ index, kind, message }) => console.log(`fault: case ${index}, ${kind}: ${message}`),
  onProgress: (done) => {
    if (done % 5000 === 0)
      console.log(`${done} cases in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  },
});
const sum = { read: 0, refused: 0, fault: 0 };
for (const [kind, found] of Object.entries(counts)) {
  for (const outcome of Object.keys(sum)) sum[outcome] += found[outcome];
  console.log(
    `${kind.padEnd(14)} read ${found.read}, refused in one line ${found.refused}, faults ${found.fault}; ${found.seconds.toFixed(1)} s`,
  );
}
console.log(
  `seed ${values.seed}, ${values.count} files: read ${sum.read}, refused in one line ${sum.refused}, faults ${sum.fault}`,
);
process.exitCode = faults.length > 0 ? 1 : 0;

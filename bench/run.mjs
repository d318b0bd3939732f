// `npm run bench`: every number that the README states, by named sections, one after the other.
//   npm run bench                          all sections; those that are finished are not run again
//   npm run bench -- peers ladder          only these
//   npm run bench -- --again [SECTION ...] repeats them    --quick  fewer turns
//   npm run bench -- --processor avx2      a larger machine plays AVX2: libtorch, oneDNN and MKL are lowered, for the peers too
// Results are kept in .bench/results/KIND/SECTION.json, by kind of processor, with the machine and the version; an
// interrupted bench goes on. `node bench/report.mjs` writes them into the documents.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { lowered, processorHere } from "./harness/processor.mjs";
import { keepMeasured, measured } from "./harness/results.mjs";
import { machine, root } from "./harness/subject.mjs";

/** The sections, in their order, with the folder below bench/ that each is in. */
const FOLDERS = {
  peers: ".",
  products: "processor",
  quantized: "fewer-bits",
  quality: "fewer-bits",
  bits: "fewer-bits",
  busy: "processor",
  roofline: "processor",
  ladder: "runs",
  context: "runs",
  data: "runs",
  operators: "processor",
  estimate: "runs",
};
const SECTIONS = Object.keys(FOLDERS);

const fail = (problem) => {
  console.error(problem);
  process.exit(1);
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    again: { type: "boolean", default: false },
    processor: { type: "string" },
  },
});
const unknown = positionals.filter((name) => !SECTIONS.includes(name));
if (unknown.length > 0) fail(`no section is called ${unknown.join(", ")}; there are ${SECTIONS.join(", ")}`);
// before libtorch is loaded; every program that a section starts inherits it
try {
  if (values.processor !== undefined) Object.assign(process.env, lowered(values.processor));
} catch ({ message }) {
  fail(message);
}
const processor = await processorHere();
if (values.processor !== undefined && processor !== values.processor.toUpperCase())
  fail(`--processor ${values.processor}: libtorch still computes as ${processor}`);
const folder = path.join(root, ".bench");
mkdirSync(folder, { recursive: true });
const version = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: root,
  encoding: "utf8",
}).stdout?.trim();
console.log(`${machine()}: ${processor}`);

async function runSection(name) {
  const lines = [];
  const print = console.log;
  console.log = (...words) => {
    lines.push(words.join(" "));
    print(...words);
  };
  const started = performance.now();
  const { run } = await import(`./${FOLDERS[name]}/${name}.mjs`);
  const found = await run({ folder, processor, quick: values.quick });
  console.log = print;
  const seconds = Math.round((performance.now() - started) / 1000);
  print(`(${seconds} s)`);
  keepMeasured(folder, processor, name, {
    at: new Date().toISOString(),
    machine: machine(),
    version,
    settings: values.processor === undefined ? undefined : lowered(values.processor),
    seconds,
    output: lines.join("\n"),
    found,
  });
}

for (const name of positionals.length > 0 ? positionals : SECTIONS) {
  console.log(`\n== ${name}`);
  const before = measured(folder, processor, name);
  if (before === undefined || values.again) await runSection(name);
  else console.log(`(measured ${before.at}; --again repeats it)\n${before.output}`);
}

// `npm run bench`: every number that the README states, by named sections, one after the other.
//   npm run bench                          all sections; those that are finished are not run again
//   npm run bench -- peers ladder          only these
//   npm run bench -- --again [SECTION ...] anew    --quick  fewer turns
// Results are kept in .bench/results/SECTION.json, with the machine and the version; an interrupted bench goes on.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { machine, root } from "./subject.mjs";

const SECTIONS = ["peers", "roofline", "ladder", "context", "data", "operators", "estimate"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, again: { type: "boolean", default: false } },
});
const unknown = positionals.filter((name) => !SECTIONS.includes(name));
if (unknown.length > 0) {
  console.error(`no section is called ${unknown.join(", ")}; there are ${SECTIONS.join(", ")}`);
  process.exit(1);
}
const folder = path.join(root, ".bench");
const results = path.join(folder, "results");
mkdirSync(results, { recursive: true });
const version = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: root,
  encoding: "utf8",
}).stdout?.trim();
console.log(machine());
for (const name of positionals.length > 0 ? positionals : SECTIONS) {
  const file = path.join(results, `${name}.json`);
  console.log(`\n== ${name}`);
  if (existsSync(file) && !values.again) {
    const { at, output } = JSON.parse(readFileSync(file, "utf8"));
    console.log(`(measured ${at}; --again measures anew)\n${output}`);
    continue;
  }
  const lines = [];
  const print = console.log;
  console.log = (...words) => {
    lines.push(words.join(" "));
    print(...words);
  };
  const started = performance.now();
  const { run } = await import(`./${name}.mjs`);
  const found = await run({ folder, quick: values.quick });
  console.log = print;
  const seconds = Math.round((performance.now() - started) / 1000);
  print(`(${seconds} s)`);
  const kept = {
    at: new Date().toISOString(),
    machine: machine(),
    version,
    seconds,
    output: lines.join("\n"),
    found,
  };
  writeFileSync(`${file}.new`, `${JSON.stringify(kept, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

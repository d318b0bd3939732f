// What the bench has measured, by kind of processor and section. A run leaves it in .bench/results/KIND/SECTION.json, which
// git ignores; `node bench/report.mjs` keeps it in bench/results/KIND.json, from which the documents are written.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { processors } from "./processor.mjs";
import { root } from "./subject.mjs";

const kept = path.join(root, "bench", "results");
const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));

/** Whole or not at all. */
function writeJson(file, value) {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

const measuredFile = (folder, processor, section) =>
  path.join(folder, "results", processor, `${section}.json`);

/** What this checkout has measured of a section; undefined if it has not. */
export function measured(folder, processor, section) {
  const file = measuredFile(folder, processor, section);
  return existsSync(file) ? readJson(file) : undefined;
}

/** Keeps a finished section. */
export function keepMeasured(folder, processor, section, result) {
  writeJson(measuredFile(folder, processor, section), result);
}

/**
 * Lays what was measured here over what the documents show: a section replaces its predecessor whole.
 * @returns the names of what was taken, `KIND/SECTION`
 */
export function takeMeasured(folder, target = kept) {
  const taken = [];
  for (const processor of processors) {
    const from = path.join(folder, "results", processor);
    if (!existsSync(from)) continue;
    const file = path.join(target, `${processor}.json`);
    const sections = existsSync(file) ? readJson(file) : {};
    const before = JSON.stringify(sections);
    for (const name of readdirSync(from).filter((each) => each.endsWith(".json"))) {
      const { at, machine, version, settings, found } = readJson(path.join(from, name));
      sections[path.basename(name, ".json")] = { at, machine, version, settings, found };
      taken.push(`${processor}/${path.basename(name, ".json")}`);
    }
    if (JSON.stringify(sections) !== before) writeJson(file, sections);
  }
  return taken;
}

/** Everything that the documents show: kind -> section -> {at, machine, version, found}, the largest kind first. */
export function keptResults(source = kept) {
  const found = {};
  for (const processor of processors) {
    const file = path.join(source, `${processor}.json`);
    if (existsSync(file)) found[processor] = readJson(file);
  }
  return found;
}

// The plan of lib/ in numbers: `node scripts/checks/house.mjs [ROOT] [--arrows]` prints the circles of imports, the arrows against the
// layers, the entries of the fullest folder and the names in the public root. test/house/imports.test.ts asks here too.
// It reads files and changes nothing; which part may import which is said in house-layers.mjs.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { isTensorCircle, mayImport, parts, rooms } from "./house-layers.mjs";

/** Comments blanked, strings kept: good enough for code that Biome has formatted. */
export function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

/** The sources of lib/: { name: "train/run.ts", code, imports: ["errors.ts", ...] }, types' imports among them. */
export function sourcesOf(root) {
  const lib = path.join(root, "lib");
  return readdirSync(lib, { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .map((name) => {
      const code = withoutComments(readFileSync(path.join(lib, name), "utf8"));
      return { name, code, imports: importsOf(name, code) };
    });
}

/** What a file imports, as names below lib/: "../x" for what lies outside. */
export function importsOf(name, code) {
  const found = code.matchAll(/(?:from|import|import\()\s*"(\.[^"]+)"|new URL\("(\.[^"]+\.js)"/g);
  return [...found].map((match) =>
    path.posix.join(path.posix.dirname(name), (match[1] ?? match[2]).replace(/\.js$/, ".ts")),
  );
}

/** Groups of files that import one another, directly or by a way round: each sorted, most files first. */
export function circlesOf(sources) {
  const imports = new Map(sources.map((source) => [source.name, new Set(source.imports)]));
  const reached = new Map(sources.map(({ name }) => [name, reachable(name, imports)]));
  const circles = new Map();
  for (const [name, names] of reached) {
    if (!names.has(name)) continue;
    const circle = [...names].filter((other) => reached.get(other)?.has(name)).sort();
    circles.set(circle.join(" "), circle);
  }
  return [...circles.values()].sort((a, b) => b.length - a.length);
}

function reachable(start, imports) {
  const seen = new Set();
  const waiting = [start];
  while (waiting.length > 0)
    for (const next of imports.get(waiting.pop()) ?? [])
      if (!seen.has(next)) {
        seen.add(next);
        waiting.push(next);
      }
  return seen;
}

/** Two files of a circle that import each other, or one after the other: what to look at first. */
export function namesOfCircle(circle, sources) {
  const imports = new Map(sources.map((source) => [source.name, source.imports]));
  for (const from of circle)
    for (const to of imports.get(from) ?? [])
      if (circle.includes(to) && imports.get(to)?.includes(from)) return `${from} <-> ${to}`;
  return circle.join(" -> ");
}

/** Lines "train/run.ts -> cli/main.ts" for the arrows that the layers forbid. */
export function wrongArrows(sources) {
  return sources.flatMap(({ name, imports }) =>
    [...new Set(imports)].filter((to) => !mayImport(name, to)).map((to) => `${name} -> ${to}`),
  );
}

/** Entries of each folder of the code: [["lib/data", 12], ...], fullest first. */
export function entriesOf(root, tops = ["lib", "native", "test", "bench", "scripts"]) {
  const counted = [];
  const count = (folder) => {
    if (/(^|\/)(fixtures|node_modules)$/.test(folder)) return;
    const entries = readdirSync(path.join(root, folder), { withFileTypes: true });
    counted.push([folder, entries.length]);
    for (const entry of entries) if (entry.isDirectory()) count(`${folder}/${entry.name}`);
  };
  for (const top of tops) if (existsSync(path.join(root, top))) count(top);
  return counted.sort((a, b) => b[1] - a[1]);
}

/** The names that the package's root exports, types among them. */
export async function publicNames(root) {
  const { default: ts } = await import("typescript");
  const index = path.join(root, "lib", "index.ts");
  const options = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext };
  const program = ts.createProgram([index], { ...options, target: ts.ScriptTarget.ES2022 });
  const checker = program.getTypeChecker();
  const symbol = checker.getSymbolAtLocation(program.getSourceFile(index));
  return checker.getExportsOfModule(symbol).map(({ name }) => name);
}

if (process.argv[1] && import.meta.url === pathToFileURL(path.resolve(process.argv[1])).href) {
  const root = path.resolve(process.argv.slice(2).find((word) => !word.startsWith("--")) ?? ".");
  const sources = sourcesOf(root);
  const circles = circlesOf(sources).filter((circle) => !isTensorCircle(circle));
  const wrong = wrongArrows(sources);
  const [[folder, most], ...rest] = entriesOf(root);
  const full = [[folder, most], ...rest].filter(([, entries]) => entries > 15);
  const say = (line) => process.stdout.write(`${line}\n`);
  say(
    `${sources.length} files in lib/, ${Object.keys(parts).length} parts, ${Object.values(rooms).flat().length} rooms`,
  );
  say(`circles of imports, but the one around Tensor: ${circles.length}`);
  for (const circle of circles) say(`  ${circle.length} files: ${namesOfCircle(circle, sources)}`);
  say(`arrows against the layers: ${wrong.length}`);
  if (process.argv.includes("--arrows")) for (const arrow of wrong) say(`  ${arrow}`);
  say(`entries of the fullest folder: ${most} (${folder}); folders with more than 15: ${full.length}`);
  if (process.argv.includes("--arrows")) for (const [name, entries] of full) say(`  ${entries} ${name}`);
  say(`names in the public root: ${(await publicNames(root)).length}`);
}

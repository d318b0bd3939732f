// Writes what the bench has measured into the documents: the parts of docs/performance.md, its Chinese page and both
// READMEs that lie between <!-- bench NAME --> and <!-- /bench -->. A section that was never measured leaves its parts as they are.
//   node bench/report.mjs             what this checkout has measured goes into bench/results first
//   node bench/report.mjs --check     changes nothing; exits 1 where a document says something else than bench/results
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { keptResults, takeMeasured } from "./harness/results.mjs";
import { root } from "./harness/subject.mjs";
import { beside } from "./report/beside.mjs";
import { inChinese } from "./report/report_chinese.mjs";
import { claims, lossesInChinese, peersInShort } from "./report/report_readme.mjs";
import { sections } from "./report/report_sections.mjs";

const DOCUMENTS = ["docs/performance.md", "docs/zh/performance.md", "README.md", "README.zh-CN.md"];

const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
if (!values.check)
  for (const name of takeMeasured(path.join(root, ".bench"))) console.log(`bench/results: ${name}`);
const kept = keptResults();

/** Kind of processor -> one section, where it was measured. */
const measuredOn = (section) =>
  Object.fromEntries(
    Object.entries(kept).flatMap(([name, found]) => (found[section] ? [[name, found[section]]] : [])),
  );

/** The machine of each kind of processor, and the version of each section where they are not all of one. */
function machines() {
  return Object.entries(kept)
    .map(([name, found]) => {
      const measured = Object.entries(found);
      const [, { machine, at, version, settings }] =
        measured.find(([section]) => section === "peers") ?? measured[0];
      // what a machine says of itself does not tell all of one kind apart: the day does
      const others = measured.flatMap(([section, one]) => {
        const day = one.at.slice(0, 10);
        if (day === at.slice(0, 10) && one.version === version) return [];
        return [`${section}: version ${one.version} of ${day}`];
      });
      const played =
        settings === undefined
          ? ""
          : ` lowered by ${Object.entries(settings)
              .map((pair) => pair.join("="))
              .join(" ")},`;
      const said = others.length > 0 ? ` But ${others.join("; ")}.` : "";
      return `- **${name}**: ${machine},${played} measured on ${at.slice(0, 10)}, version ${version}.${said}`;
    })
    .join("\n");
}

const inShort = (language) => (peers) => peersInShort(peers, language);

/** Parts that are not a section whole -> the section that they are of, and what they say. */
const PARTS = {
  machine: ["peers", machines],
  "peers in short": ["peers", inShort("en")],
  claims: ["peers", () => claims(kept)],
  "losses, zh": ["peers", lossesInChinese],
  "peers in short, zh": ["peers", inShort("zh")],
};

function render(name) {
  if (PARTS[name] === undefined && sections[name] === undefined) return undefined;
  const [section, say] = PARTS[name] ?? [name];
  const measured = measuredOn(section);
  if (Object.keys(measured).length === 0) return `Not measured yet: \`npm run bench -- ${section}\`.`;
  if (say !== undefined) return say(measured);
  return beside(
    Object.entries(measured).map(([processor, { found }]) => ({
      processor,
      blocks: sections[section](found),
    })),
  );
}

const stale = DOCUMENTS.filter((document) => {
  const file = path.join(root, document);
  const before = readFileSync(file, "utf8");
  const after = before.replace(/<!-- bench ([^>]+) -->[\s\S]*?<!-- \/bench -->/g, (_, name) => {
    const said = render(name);
    if (said === undefined) throw new Error(`${document}: the bench has no part ${name}`);
    const words = document.startsWith("docs/zh/") ? inChinese(said) : said;
    return `<!-- bench ${name} -->\n\n${words}\n\n<!-- /bench -->`;
  });
  if (after !== before && !values.check) writeFileSync(file, after);
  return after !== before;
});
if (values.check) for (const document of stale) console.log(`${document} differs from bench/results`);
else for (const document of stale) console.log(`${document}: written`);
process.exitCode = values.check && stale.length > 0 ? 1 : 0;

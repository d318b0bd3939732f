// Draws what a command printed as a terminal window (SVG), for the README. Lines are the command's own: long ones are
// cut at the window's edge, a run of step lines is thinned out, and what matters to whoever runs it but not to a reader (the
// banner, the files, the metrics, the commands to go on with) is left out, so that the picture does not fill a screen.
//   npm run demo 2>&1 | tee demo.txt; node scripts/documents/terminal-picture.mjs "npm run demo" demo.txt docs/images/demo.svg
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const [command, input, output] = process.argv.slice(2);
if (output === undefined) {
  console.error("usage: node scripts/documents/terminal-picture.mjs COMMAND TRANSCRIPT PICTURE.svg");
  process.exit(1);
}
const COLUMNS = 126;
const LINE = 18;
const COLUMN = 7.83; // a column of the 13 px font
const STEPS = 4; // step lines that are kept
/** Lines that are left out. */
const LEFT_OUT =
  /^ {2}\w[\w ().,&]* += |^\*{5} |^ {2}(?:npx qwen|saves)|saved in |kept in the cache|^next: |^==== (?:What it wrote|Try next)|^device: /;

const isWide = (character) => /[\p{Script=Han}，。：；？！「」『』《》“”]/u.test(character);

/** The text's first columns; Chinese characters are two wide. */
function fitted(line) {
  let width = 0;
  let kept = "";
  for (const character of line) {
    width += isWide(character) ? 2 : 1;
    if (width > COLUMNS) return `${kept}…`;
    kept += character;
  }
  return kept;
}

/** Without what a second training prints: it is the first's once more, and what came of it stands beneath both. */
function withoutSecond(lines) {
  const starts = lines.flatMap((line, index) => (line.startsWith("$ npx") ? [index] : []));
  if (starts.length < 2) return lines;
  const end = lines.findIndex((line, index) => index > starts[1] && line.startsWith("==== "));
  return [...lines.slice(0, starts[1] + 1), "", ...lines.slice(end < 0 ? lines.length : end)];
}

function thinned(printed) {
  const told = withoutSecond(printed.filter((line) => !LEFT_OUT.test(line)));
  const lines = told.filter((line, index) => line !== "" || told[index - 1] !== "");
  const steps = lines.flatMap((line, index) => (/^step \d/.test(line) ? [index] : []));
  if (steps.length <= STEPS) return lines;
  const kept = new Set(
    Array.from({ length: STEPS }, (_, i) => steps[Math.round((i * (steps.length - 1)) / (STEPS - 1))]),
  );
  return lines.filter((line, index) => !/^step \d/.test(line) || kept.has(index));
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const color = (line) => {
  if (/^(\$|>) /.test(line)) return "#7ee787";
  if (/^(====|\*\*\*\*\*)/.test(line)) return "#79c0ff";
  return /^step \d/.test(line) ? "#d2a8ff" : "#e6edf3";
};

const printed = readFileSync(input, "utf8").replaceAll("\r", "").split("\n");
const start = printed.findIndex((line) => /^qwen-pt \d/.test(line));
const body = thinned(printed.slice(Math.max(start, 0)).filter((line) => !/ running: /.test(line)));
const lines = [`$ ${command}`, ...body].join("\n").trimEnd().split("\n").map(fitted);
const [width, height] = [Math.ceil(COLUMNS * COLUMN + 32), lines.length * LINE + 56];
const rows = lines.map(
  (line, i) => `<text x="16" y="${52 + i * LINE}" fill="${color(line)}">${escaped(line)}</text>`,
);
const dots = ["#ff5f56", "#ffbd2e", "#27c93f"].map(
  (fill, i) => `<circle cx="${20 + i * 18}" cy="18" r="6" fill="${fill}"/>`,
);
mkdirSync(path.dirname(output), { recursive: true });
writeFileSync(
  output,
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${dots.join("")}
<style>text { white-space: pre; }</style>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'Noto Sans Mono CJK SC', monospace" font-size="13" xml:space="preserve">
${rows.join("\n")}
</g>
</svg>
`,
);

// node report.mjs FOLDER: one report of what check.sh left there: report.md and report.json, with no names of users, hosts
// or folders beyond those that the parts' own reports have.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { bars } from "./pictures.mjs";

const folder = process.argv[2];
const read = (name) => {
  const file = path.join(folder, name);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
};
const json = (name) => JSON.parse(read(name) ?? "null");
const table = (head, rows) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const parts = (read("parts.txt") ?? "")
  .trim()
  .split("\n")
  .map((line) => line.split("\t"))
  .map(([state, seconds, name]) => ({ name, state, seconds: Number(seconds) }));
const cells = json("cells.json");
const loop = json("loop.json");
const doctor = json("qwen-pt-gpu-report.json");
const ranks = json("ranks.json");

const peers = new Map((loop?.cells ?? []).map((cell) => [cell.name, cell]));
const memory = (bytes) => (bytes ? `${(bytes / 1e9).toFixed(2)} GB` : "");
const rows = (cells?.cells ?? []).map(({ name, tokensPerSecond, peakBytes, mfu, error }) => {
  const peer = peers.get(name);
  const ratio = peer && tokensPerSecond ? (tokensPerSecond / peer.tokensPerSecond).toFixed(2) : "";
  return error
    ? [name, error, "", "", ""]
    : [
        name,
        Math.round(tokensPerSecond).toLocaleString("en-US"),
        memory(peakBytes),
        mfu ? `${(100 * mfu).toFixed(0)} %` : "",
        ratio,
      ];
});
const theirs = (loop?.cells ?? []).map(({ name, tokensPerSecond, peakBytes }) => [
  name,
  Math.round(tokensPerSecond).toLocaleString("en-US"),
  memory(peakBytes),
]);
/** A picture beside the report, and the line that shows it. */
function picture(name, title, shown) {
  if (shown.length === 0) return "";
  writeFileSync(path.join(folder, name), bars(title, shown));
  return `![${title}](${name})\n\n`;
}
const thousands = (value) => Math.round(value).toLocaleString("en-US");
const speeds = [
  ...(cells?.cells ?? []).map((cell) => ({ ...cell, group: 0 })),
  ...(loop?.cells ?? []).map((cell) => ({ ...cell, name: `transformers + PEFT: ${cell.name}`, group: 1 })),
]
  .filter(({ tokensPerSecond }) => tokensPerSecond)
  .map(({ name, tokensPerSecond: value, group }) => ({ name, value, said: thousands(value), group }));
const profile = cells?.profile;
const kernels = (profile?.kernels ?? []).slice(0, 20);
const what = profile?.isDevice ? "kernel" : "operator";
const share = (value) => `${(100 * value).toFixed(1)} %`;
const ofStep = profile?.kernels
  ? `${picture(
      "kernels.svg",
      `A step of "${profile.setting}" by ${what}, ms`,
      kernels.map(({ name, microseconds, share: part }) => ({
        name,
        value: microseconds,
        said: `${(microseconds / 1000).toFixed(2)} (${share(part)})`,
      })),
    )}${table(
      [what, "launches", "ms", "share"],
      kernels.map((one) => [
        `\`${one.name.slice(0, 90).replaceAll("|", "/")}\``,
        one.count,
        (one.microseconds / 1000).toFixed(2),
        share(one.share),
      ]),
    )}`
  : `Not measured: ${profile?.error ?? "see log.txt"}`;
const notices = (cells?.cells ?? []).flatMap(({ name, notices: said = [] }) =>
  said.map((line) => `- ${name}: ${line}`),
);
/** What ranks.mjs left: the collectives of one card, an all-reduce between two, and the recipe by one and by two processes. */
function ofRanks() {
  if (ranks === null) return "Not run: see log.txt";
  const wrong = ranks.collectives.filter(([, isRight]) => !isRight).map(([name]) => name);
  const { reduce, runs } = ranks;
  return [
    ranks.error ? `NCCL: ${ranks.error}` : "",
    ranks.collectives.length > 0
      ? `NCCL in a world of one: ${ranks.collectives.length - wrong.length} of ${ranks.collectives.length} collectives are right${wrong.length > 0 ? `; wrong: ${wrong.join(", ")}` : ""}.`
      : "",
    ranks.note ? `Not run: ${ranks.note}.` : "",
    reduce?.seconds
      ? `An all-reduce of ${reduce.megabytes} MiB between two cards: ${(1000 * reduce.seconds).toFixed(1)} ms, ${reduce.gigabytesPerSecond.toFixed(1)} GiB/s.`
      : "",
    runs.length > 0
      ? table(
          [
            "full in bfloat16, 4 rows a step",
            "s a step",
            "peak memory a process",
            "losses apart from one process",
          ],
          runs.map(({ name, seconds, peakBytes, apart, error }) =>
            error
              ? [name, error, "", ""]
              : [
                  name,
                  seconds.toFixed(3),
                  memory(peakBytes),
                  apart === undefined ? "" : apart.toExponential(1),
                ],
          ),
        )
      : "",
  ]
    .filter((line) => line !== "")
    .join("\n\n");
}
const text = `# qwen-pt on ${cells?.card ?? "this machine"}

${table(
  ["part", "", "s"],
  parts.map(({ name, state, seconds }) => [name, state, seconds]),
)}

## The recipe, ${cells?.steps ?? 0} steps of ${cells?.length ?? 0} tokens a row

${picture("tokens.svg", "Tokens/s", speeds)}${table(["setting", "tokens/s", "peak memory", "of the card's arithmetic", "to the loop below"], rows)}${notices.length > 0 ? `\n\n${notices.join("\n")}` : ""}

## A step by ${what}

${ofStep}

## Several processes

${ofRanks()}

## A loop of transformers and PEFT

${theirs.length > 0 ? table(["setting", "tokens/s", "peak memory"], theirs) : `Not run: ${loop?.error ?? "see log.txt"}`}

${read("qwen-pt-gpu-report.md") ?? "`doctor --gpu` left no report: see log.txt.\n"}`;
writeFileSync(path.join(folder, "report.md"), text);
writeFileSync(
  path.join(folder, "report.json"),
  `${JSON.stringify({ parts, cells, loop, ranks, doctor }, null, 2)}\n`,
);
const failed = parts
  .filter(({ state }) => state !== "ok" && state !== "not here")
  .map(({ name, state }) => `${name}: ${state}`);
console.log(failed.length > 0 ? `not all went well: ${failed.join("; ")}` : "all parts went well");
console.log(`report: ${path.join(folder, "report.md")} and report.json; what was said: log.txt`);

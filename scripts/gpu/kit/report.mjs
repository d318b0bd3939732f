// node report.mjs FOLDER: one report of what check.sh left there: report.md and report.json, with no names of users, hosts
// or folders beyond those that the parts' own reports have.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

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
const text = `# qwen-pt on ${cells?.card ?? "this machine"}

${table(
  ["part", "", "s"],
  parts.map(({ name, state, seconds }) => [name, state, seconds]),
)}

## The recipe, ${cells?.steps ?? 0} steps of ${cells?.length ?? 0} tokens a row

${table(["setting", "tokens/s", "peak memory", "of the card's arithmetic", "to the loop below"], rows)}

## A loop of transformers and PEFT

${theirs.length > 0 ? table(["setting", "tokens/s", "peak memory"], theirs) : `Not run: ${loop?.error ?? "see log.txt"}`}

${read("qwen-pt-gpu-report.md") ?? "`doctor --gpu` left no report: see log.txt.\n"}`;
writeFileSync(path.join(folder, "report.md"), text);
writeFileSync(
  path.join(folder, "report.json"),
  `${JSON.stringify({ parts, cells, loop, doctor }, null, 2)}\n`,
);
const failed = parts.filter(({ state }) => state !== "ok").map(({ name, state }) => `${name}: ${state}`);
console.log(failed.length > 0 ? `not all went well: ${failed.join("; ")}` : "all parts went well");
console.log(`report: ${path.join(folder, "report.md")} and report.json; what was said: log.txt`);

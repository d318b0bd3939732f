// `qwen-pt help [COMMAND | KEY | WORD]`: the usage text, and what a recipe key means.
import type { KeyDescription } from "../../config/index.js";
import { nearestName } from "../../config/nearest.js";
import { UserError } from "../../errors.js";
import { helpOf, inLanguage, translated } from "../../languages/index.js";
import { packageVersion } from "../../version.js";
import type { CommandMain } from "../terminal/host.js";
import { COMMANDS, ELSEWHERE } from "./table.js";

/** The text of `qwen-pt help`. */
export function usage(): string {
  const summaries = Object.entries(COMMANDS).map(
    ([name, { summary }]) => [name, translated(summary, "usage")] as const,
  );
  summaries.push(["help", translated("explain a command or a recipe key", "usage")]);
  const width = Math.max(...summaries.map(([name]) => name.length));
  const lines = summaries.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    translated(`qwen-pt ${packageVersion()}: incremental pre-training of Qwen3`, "usage"),
    "",
    translated("usage: qwen-pt COMMAND ...", "usage"),
    "",
    ...lines,
    "",
    translated(
      "`qwen-pt help COMMAND` says more; `qwen-pt help KEY` explains a key of a recipe, `qwen-pt help lora` lists related ones.",
      "usage",
    ),
  ].join("\n");
}

export const run: CommandMain = async (args, host) => {
  const [topic] = args.map((one) => (/^(?:-h|--help)$/.test(one) ? "help" : one));
  if (topic === undefined) {
    host.out.write(`${usage()}\n`);
    return 0;
  }
  if (args.length > 1) throw new UserError("help takes one command or key: qwen-pt help cutoff_len");
  const text = helpOf(topic) ?? (await explainKey(topic));
  host.out.write(`${text}\n`);
  return 0;
};

/** A key, or all that have to do with a word. */
async function explainKey(topic: string): Promise<string> {
  const { describeKey, listKeys, nearestKey } = await import("../../config/index.js");
  const key = describeKey(topic);
  if (key === undefined) {
    const related = relatedTo(topic, listKeys());
    if (related.length > 0) return related.join("\n");
    const near = nearestName(topic, [...Object.keys(COMMANDS), "help"]) ?? nearestKey(topic);
    const guess =
      near === undefined ? "`qwen-pt help` lists the commands" : `did you mean \`qwen-pt help ${near}\`?`;
    throw new UserError(`no command or recipe key ${topic}; ${ELSEWHERE.get(topic) ?? guess}`);
  }
  const said = inLanguage(key);
  const lines = [
    `type: ${said.type}`,
    `default: ${said.default}`,
    `here: ${translated(key.class, "usage")}`,
    ...(said.reason ? [`why: ${said.reason}`] : []),
    `read by: ${key.commands.join(", ")}`,
  ];
  return [key.name, said.doc, ...lines.map((text) => translated(text, "usage"))].join("\n  ");
}

/** The commands and keys whose names have the word, or, where none has, whose lines do. */
function relatedTo(topic: string, keys: readonly KeyDescription[]): string[] {
  const word = topic.toLowerCase().replace(/s$/, "");
  if (!/^[a-z]\w+$/.test(word)) return [];
  const all = [
    ...Object.entries(COMMANDS).map(([name, { summary }]) => ({
      name: `qwen-pt ${name}`,
      doc: summary,
      said: translated(summary, "usage"),
    })),
    ...keys
      .filter((key) => key.class === "working")
      .map((key) => ({ name: key.name, doc: key.doc, said: inLanguage(key).doc })),
  ];
  const named = all.filter(({ name }) => name.replace("qwen-pt ", "").includes(word));
  const told = all.filter(({ doc }) => new RegExp(`\\b${word}`, "i").test(doc));
  const found = named.length > 0 ? named : told;
  if (found.length === 0) return [];
  const width = Math.max(...found.map(({ name }) => name.length));
  return [
    translated(`what has to do with ${topic} (\`qwen-pt help NAME\` says more):`, "usage"),
    ...found.map(({ name, said }) => `  ${name.padEnd(width)}  ${said}`),
  ];
}

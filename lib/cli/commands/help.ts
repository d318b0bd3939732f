// `qwen-pt help [COMMAND | KEY]`: the usage text, and what a recipe key means.
import { UserError } from "../../errors.js";
import { helpOf, inLanguage, translated } from "../../languages/index.js";
import { packageVersion } from "../../version.js";
import type { CommandMain } from "../terminal/host.js";
import { COMMANDS } from "./table.js";

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
    translated("`qwen-pt help COMMAND` says more; `qwen-pt help KEY` explains a key of a recipe.", "usage"),
  ].join("\n");
}

export const run: CommandMain = async (args, host) => {
  const [topic] = args;
  if (topic === undefined) {
    host.out.write(`${usage()}\n`);
    return 0;
  }
  if (args.length > 1) throw new UserError("help takes one command or key: qwen-pt help cutoff_len");
  const text = helpOf(topic) ?? (await explainKey(topic));
  host.out.write(`${text}\n`);
  return 0;
};

async function explainKey(topic: string): Promise<string> {
  const { describeKey, nearestKey } = await import("../../config/index.js");
  const key = describeKey(topic);
  if (key === undefined) {
    throw new UserError(
      `no command or recipe key ${topic}; did you mean \`qwen-pt help ${nearestKey(topic)}\`?`,
    );
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

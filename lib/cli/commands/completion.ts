// `qwen-pt completion SHELL`: a script for bash, zsh or fish that asks this program what may come next; `--words` is its
// question. Commands, their options, a recipe's keys and the words that a key takes; files are the shell's own.
import { UserError } from "../../errors.js";
import { LANGUAGES } from "../../languages/language.js";
import type { CommandMain } from "../terminal/host.js";
import { OPTIONS } from "../terminal/options.js";

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_qwen_pt() {
  local IFS=$'\\n'
  COMPREPLY=($(qwen-pt completion --words "$COMP_CWORD" -- "\${COMP_WORDS[@]}" 2>/dev/null))
  [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}
complete -o default -F _qwen_pt qwen-pt`,
  zsh: `#compdef qwen-pt
_qwen_pt() {
  local -a found
  found=("\${(@f)$(qwen-pt completion --words $((CURRENT - 1)) -- "\${words[@]}" 2>/dev/null)}")
  if [[ -n \${found[1]} ]]; then compadd -S '' -- \${found}; else _files; fi
}
compdef _qwen_pt qwen-pt`,
  fish: `complete -c qwen-pt -a '(qwen-pt completion --words (count (commandline -opc)) -- (commandline -opc) (commandline -ct) 2>/dev/null)'`,
};

export const run: CommandMain = async (args, host) => {
  const [first = "", index, , ...words] = args;
  if (first === "--words") {
    const found = await completions(words, Number(index));
    host.out.write(found.map((word) => `${word}\n`).join(""));
    return 0;
  }
  const script = SCRIPTS[first];
  if (script === undefined || args.length > 1) {
    throw new UserError(
      `completion takes a shell: qwen-pt completion ${Object.keys(SCRIPTS).join("|")}; see \`qwen-pt help completion\``,
    );
  }
  host.out.write(`${script}\n`);
  return 0;
};

/**
 * What may stand at a place of a command line.
 * @param words the line's words, the program first; bash makes `=` a word by itself
 * @param index the word that is being written
 */
export async function completions(words: readonly string[], index: number): Promise<string[]> {
  const typed = words[index] ?? "";
  const among = (all: readonly string[]) => all.filter((word) => word.startsWith(typed));
  if (index === 1) return among([...Object.keys(OPTIONS), "help"]);
  const command = words[1] ?? "";
  if (words[index - 1] === "--lang") return among(LANGUAGES);
  if (command === "help") return among([...Object.keys(OPTIONS), ...(await keyNames())]);
  const options = Object.hasOwn(OPTIONS, command) ? OPTIONS[command] : undefined;
  if (options === undefined) return [];
  if (typed.startsWith("-"))
    return among([...(options.values ?? []), ...(options.switches ?? []), "lang"].map((name) => `--${name}`));
  if (options.words !== undefined) return index === 2 ? among(options.words) : [];
  if (options.recipe !== true || index < 3) return [];
  if (typed === "=") return valuesOf(words[index - 1] ?? "", "");
  if (words[index - 1] === "=") return valuesOf(words[index - 2] ?? "", typed);
  const [, key, value] = /^([a-z_0-9]+)=(.*)$/i.exec(typed) ?? [];
  if (key !== undefined) return (await valuesOf(key, value ?? "")).map((word) => `${key}=${word}`);
  return typed === "" ? [] : among((await keyNames()).map((name) => `${name}=`));
}

async function keyNames(): Promise<string[]> {
  const { listKeys } = await import("../../config/index.js");
  return listKeys()
    .filter((key) => key.class !== "refused")
    .map(({ name }) => name);
}

/** The words that a key takes, where there is a list of them. */
async function valuesOf(key: string, typed: string): Promise<string[]> {
  const { recipeJsonSchema } = await import("../../config/index.js");
  const { properties } = recipeJsonSchema() as {
    properties: Record<string, { type?: unknown; enum?: unknown[] }>;
  };
  const found = properties[key];
  const isFlag = [found?.type].flat().includes("boolean");
  const words = found?.enum ?? (isFlag ? [true, false] : []);
  return words
    .filter((word) => word !== null)
    .map(String)
    .filter((word) => word.startsWith(typed));
}

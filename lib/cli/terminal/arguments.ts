// What stands after a command: a recipe's path, key=value overrides, and the few options that a command has.
import { UserError } from "../../errors.js";
import { OPTIONS } from "./options.js";

export interface Arguments {
  recipe: string | undefined;
  overrides: string[];
  options: Record<string, string>;
  flags: Set<string>;
}

/** Sorts a command's arguments by what OPTIONS says of it. Throws UserError for anything else. */
export function readArguments(command: string, args: readonly string[]): Arguments {
  const { values: known = [], switches = [] } = OPTIONS[command] ?? {};
  const found: Arguments = { recipe: undefined, overrides: [], options: {}, flags: new Set() };
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const name = arg.replace(/^--/, "");
    if (arg.startsWith("--") && switches.includes(name)) found.flags.add(name);
    else if (arg.startsWith("-")) readOption(command, arg, rest, [known, switches], found.options);
    else if (isOverride(arg, found.recipe)) found.overrides.push(arg);
    else if (found.recipe === undefined) found.recipe = arg;
    else
      throw new UserError(
        `${command}: ${arg} is neither the recipe nor key=value; see \`qwen-pt help ${command}\``,
      );
  }
  return found;
}

/** key=value; a first argument that ends like a recipe is one, whatever its folders are called. */
function isOverride(arg: string, recipe: string | undefined): boolean {
  return /^[A-Za-z_][\w.]*=/.test(arg) && (recipe !== undefined || !/\.(?:ya?ml|json)$/i.test(arg));
}

function readOption(
  command: string,
  arg: string,
  rest: string[],
  [known, switches]: [known: readonly string[], switches: readonly string[]],
  options: Record<string, string>,
): void {
  const [, name = "", joined] = /^--?([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
  if (!known.includes(name)) {
    const all = [...known, ...switches];
    const asKey = OPTIONS[command]?.recipe
      ? [`a recipe's key is written ${name || "key"}=value, after the recipe`]
      : [];
    const asOption = all.length > 0 ? [`it has --${all.join(", --")}`] : [];
    const advice = [...asOption, ...asKey].join("; ") || `it has none; see \`qwen-pt help ${command}\``;
    throw new UserError(`${command} has no option ${arg}: ${advice}`);
  }
  const value = joined ?? rest.shift();
  if (value === undefined) throw new UserError(`${command}: --${name} needs a value`);
  options[name] = value;
}

/** The recipe's path. Throws UserError where there is none. */
export function neededRecipe(command: string, found: Arguments): string {
  if (found.recipe !== undefined) return found.recipe;
  throw new UserError(`${command} needs a recipe: qwen-pt ${command} recipe.yaml`);
}

/** Arguments of a command that takes options alone. Throws UserError where there is anything else. */
export function neededNothing(command: string, found: Arguments): Arguments {
  const extra = found.recipe ?? found.overrides[0];
  if (extra === undefined) return found;
  throw new UserError(`${command} takes options only, not ${extra}; see \`qwen-pt help ${command}\``);
}

/** An argument as a POSIX shell takes it. */
export function shellQuoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

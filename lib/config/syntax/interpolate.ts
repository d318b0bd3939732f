// OmegaConf's interpolations in a recipe: ${oc.env:NAME}, ${oc.env:NAME,default}, ${oc.decode:...}, ${other_key}.
// Other resolvers and relative references are refused.
import { UserError } from "../../errors.js";
import { type Entry, isTable } from "./read.js";
import { Float, plainScalar, pythonText, type Raw } from "./scalar.js";

/** An entry whose text may have come out of an interpolation. */
export interface Resolved extends Entry {
  readonly interpolated: boolean;
}

/** Resolves every interpolation. Throws UserError with the place of the key that holds it. */
export function interpolate(
  entries: ReadonlyMap<string, Entry>,
  env: NodeJS.ProcessEnv,
): Map<string, Resolved> {
  const interpolation = new Interpolation(entries, env);
  return new Map([...entries].map(([key, entry]) => [key, interpolation.entry(key, entry)]));
}

/** Characters and values that a recipe's interpolations may produce. */
const MOST_MADE = 1_000_000;

/** Characters of a text, values of a list or mapping. */
function weightOf(value: Raw): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return value.reduce((sum: number, one: Raw) => sum + weightOf(one), 1);
  return isTable(value) ? Object.values(value).reduce((sum: number, one) => sum + weightOf(one), 1) : 1;
}

class Interpolation {
  readonly #done = new Map<string, Resolved>();
  readonly #open: string[] = [];
  #made = 0;

  constructor(
    readonly entries: ReadonlyMap<string, Entry>,
    readonly env: NodeJS.ProcessEnv,
  ) {}

  entry(key: string, entry: Entry): Resolved {
    const earlier = this.#done.get(key);
    if (earlier !== undefined) return earlier;
    if (this.#open.includes(key)) {
      throw new UserError(`${entry.where}: ${key} refers to itself (${[...this.#open, key].join(" -> ")})`);
    }
    this.#open.push(key);
    const interpolated = mentions(entry.value);
    const value = interpolated ? this.#value(entry.value, `${entry.where}: ${key}`) : entry.value;
    this.#open.pop();
    const resolved = { value, where: entry.where, interpolated };
    this.#done.set(key, resolved);
    return resolved;
  }

  #value(value: Raw, place: string): Raw {
    if (typeof value === "string") return this.#text(value, place);
    if (Array.isArray(value)) return value.map((item: Raw) => this.#value(item, place));
    if (!isTable(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, this.#value(inner, place)]),
    );
  }

  /** Text with its interpolations; one that is the whole text keeps the type of what it refers to. */
  #text(source: string, place: string): Raw {
    const parts: Raw[] = [];
    let text = "";
    let at = 0;
    while (at < source.length) {
      // A backslash before an interpolation makes it text.
      if (source.startsWith("\\${", at)) {
        text += "${";
        at += 3;
      } else if (source.startsWith("${", at)) {
        const end = closing(source, at + 2);
        if (end < 0) throw new UserError(`${place}: \${ without its closing brace`);
        if (text !== "") parts.push(text);
        text = "";
        parts.push(this.#resolve(source.slice(at + 2, end), place));
        at = end + 1;
      } else {
        text += source[at++];
      }
    }
    if (text !== "") parts.push(text);
    if (parts.length === 1) return this.#counted(parts[0] ?? null, place);
    return this.#counted(parts.map((part) => this.#insert(part, place)).join(""), place);
  }

  /** Values that refer to each other twice double at every step: their result has a limit. */
  #counted(value: Raw, place: string): Raw {
    this.#made += weightOf(value);
    if (this.#made > MOST_MADE)
      throw new UserError(
        `${place}: the interpolations of this recipe produce more than ${MOST_MADE} characters`,
      );
    return value;
  }

  #insert(part: Raw, place: string): string {
    if (typeof part === "object" && part !== null && !(part instanceof Float)) {
      throw new UserError(`${place}: a list or mapping cannot be put into text`);
    }
    return pythonText(part);
  }

  #resolve(inside: string, place: string): Raw {
    const colon = inside.indexOf(":");
    if (colon < 0) return this.#reference(inside.trim(), place);
    const name = inside.slice(0, colon).trim();
    const argument = inside.slice(colon + 1);
    if (name === "oc.env") return this.#environment(argument, place);
    if (name === "oc.decode") {
      const value = this.#text(argument.trim(), place);
      return typeof value === "string" ? plainScalar(value) : value;
    }
    throw new UserError(`${place}: \${${name}:...} is not understood; oc.env, oc.decode and other keys are`);
  }

  #environment(argument: string, place: string): Raw {
    const comma = topLevelComma(argument);
    const name = pythonText(
      this.#text((comma < 0 ? argument : argument.slice(0, comma)).trim(), place) as string,
    );
    const found = this.env[name];
    if (found !== undefined) return found;
    if (comma < 0) {
      throw new UserError(
        `${place}: the environment has no ${name}; set it, or write \${oc.env:${name},default}`,
      );
    }
    const given = argument.slice(comma + 1).trim();
    if (/^null$/i.test(given)) return null;
    const quoted = /^'([^']*)'$|^"([^"]*)"$/.exec(given);
    const value = this.#text(quoted ? (quoted[1] ?? quoted[2] ?? "") : given, place);
    // The empty text has no parts and would be null.
    return given === "" || (quoted && value === null) ? "" : value;
  }

  #reference(path: string, place: string): Raw {
    const [key = "", ...inner] = path.replaceAll(/\[([^\]]*)\]/g, ".$1").split(".");
    const entry = this.entries.get(key);
    if (entry === undefined)
      throw new UserError(`${place}: \${${path}} refers to a key that is not in the recipe`);
    let value: Raw = this.entry(key, entry).value;
    for (const name of inner) {
      const below: Raw | undefined = Array.isArray(value)
        ? (value as readonly Raw[])[Number(name)]
        : isTable(value) && Object.hasOwn(value, name)
          ? value[name]
          : undefined;
      if (below === undefined)
        throw new UserError(`${place}: \${${path}} refers to a key that is not in the recipe`);
      value = below;
    }
    return value;
  }
}

function mentions(value: Raw): boolean {
  if (typeof value === "string") return value.includes("${");
  if (Array.isArray(value)) return value.some(mentions);
  return isTable(value) && Object.values(value).some(mentions);
}

/** The index of the brace that closes an interpolation whose inside starts at `from`; -1 without one. */
function closing(source: string, from: number): number {
  let depth = 1;
  for (let at = from; at < source.length; at++) {
    if (source.startsWith("${", at)) depth++;
    else if (source[at] === "}" && --depth === 0) return at;
  }
  return -1;
}

/** The comma that separates an argument from its default, outside nested interpolations; -1 without one. */
function topLevelComma(argument: string): number {
  let depth = 0;
  for (let at = 0; at < argument.length; at++) {
    if (argument[at] === "{") depth++;
    else if (argument[at] === "}") depth--;
    else if (argument[at] === "," && depth === 0) return at;
  }
  return -1;
}

// Reads a recipe file (YAML or JSON) and key=value overrides into raw values, each with the place it came from.
// It knows no key: for what a value must be, see check.ts.
import { readFileSync } from "node:fs";
import type { Alias, Document, Node, ParsedNode, Scalar, YAMLMap } from "yaml";
import { UserError } from "../../errors.js";
import { parseJson } from "../../files/json.js";
import { yaml } from "../../files/yaml.js";
import { isSecret, maskedOverride } from "../secret.js";
import { Float, floatOf, integerOf, plainScalar, type Raw } from "./scalar.js";

/** A raw value and where it was given, such as `recipe.yaml:12` or `override lora_rank=16`. */
export interface Entry {
  readonly value: Raw;
  readonly where: string;
}

// An alias may repeat a part of the file; OmegaConf stops at as many values.
const MOST_VALUES = 10_000;

/** Reads a file. Throws UserError with file and line. */
export function readFile(file: string): Map<string, Entry> {
  const source = textOf(file);
  return file.endsWith(".json") ? readJson(source, file) : readYaml(source, file);
}

function textOf(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new UserError(
        `${file}: there is no such recipe file; check its path and the folder that you are in`,
      );
    if (code === "EISDIR") throw new UserError(`${file}: this is a folder; name the recipe file in it`);
    throw new UserError(`${file}: it cannot be read (${code ?? String(error)})`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${file}: it is not UTF-8 text; save it as UTF-8`);
  }
}

/** Reads YAML text; `name` stands for the file in messages. */
export function readYaml(source: string, name: string): Map<string, Entry> {
  const reader = new YamlReader(source, (line) => `${name}:${line}`);
  const root = reader.root();
  if (root === null) return new Map();
  if (!yaml().isMap(root)) throw new UserError(`${name}: expected lines of \`key: value\``);
  const entries = new Map<string, Entry>();
  for (const [key, value, line] of reader.pairs(root)) entries.set(key, { value, where: `${name}:${line}` });
  return entries;
}

function readJson(source: string, name: string): Map<string, Entry> {
  const value = parseJson(source, name);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(`${name}: expected one object of keys and values`);
  }
  return entriesOf(value as Record<string, unknown>, name);
}

/** Values of a program, each from the same place. Undefined means absent. */
export function entriesOf(input: Readonly<Record<string, unknown>>, where: string): Map<string, Entry> {
  const given = Object.entries(input).filter(([, value]) => value !== undefined);
  return new Map(given.map(([key, value]) => [key, { value: value as Raw, where }]));
}

/** Lays key=value arguments over the entries of a file, as OmegaConf's dot list does; the last one wins. */
export function applyOverrides(entries: Map<string, Entry>, overrides: readonly string[]): void {
  for (const override of overrides) {
    const where = `override ${maskedOverride(override)}`;
    const equals = override.indexOf("=");
    const path = equals < 0 ? override : override.slice(0, equals);
    if (path.startsWith("-") || path.trim() === "" || /\s/.test(path)) {
      throw new UserError(`${where}: an override has the form key=value, without dashes and spaces`);
    }
    const value = overrideValue(equals < 0 ? "" : override.slice(equals + 1), where, isSecret(path));
    const [key = "", ...inner] = path.split(".");
    const earlier = entries.get(key)?.value;
    entries.set(key, { value: laidOver(earlier, inner, value), where });
  }
}

/** What is wrong with a secret is not said: the words of YAML's errors are often the value's own. */
function overrideValue(source: string, where: string, secret: boolean): Raw {
  try {
    const reader = new YamlReader(source, () => where);
    const node = reader.root();
    return node === null ? null : reader.value(node);
  } catch (error) {
    if (secret && error instanceof UserError)
      throw new UserError(`${where}: the value cannot be read as YAML; put it in single quotes`);
    throw error;
  }
}

/** `value` at the path `inner` inside `base`; mappings merge, anything else is replaced. */
function laidOver(base: Raw | undefined, inner: readonly string[], value: Raw): Raw {
  const [first, ...rest] = inner;
  if (first !== undefined) {
    const table = isTable(base) ? base : {};
    const below = Object.hasOwn(table, first) ? table[first] : undefined;
    return { ...table, [first]: laidOver(below, rest, value) };
  }
  if (!isTable(base) || !isTable(value)) return value;
  let merged: Raw = base;
  for (const [name, part] of Object.entries(value)) merged = laidOver(merged, [name], part);
  return merged;
}

/** Whether a raw value is a mapping. */
export function isTable(value: Raw | undefined): value is { readonly [name: string]: Raw } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Float);
}

/** Turns the nodes of one YAML text into raw values. */
class YamlReader {
  readonly #document: Document.Parsed;
  readonly #yaml = yaml();
  readonly #lines = new this.#yaml.LineCounter();
  readonly #place: (line: number) => string;
  readonly #source: string;
  readonly #open = new Set<Node>();
  readonly #targets = new Map<Alias, Node>();
  #values = 0;

  constructor(source: string, place: (line: number) => string) {
    this.#place = place;
    this.#source = source;
    // The failsafe schema leaves every scalar text, so that the rules of scalar.ts decide.
    this.#document = this.#yaml.parseDocument(source, {
      schema: "failsafe",
      uniqueKeys: false,
      prettyErrors: false,
      lineCounter: this.#lines,
      logLevel: "error",
    });
    const [error] = this.#document.errors;
    if (error !== undefined) {
      const lines = source.split(/\r?\n/);
      const quote = /^Missing closing (["'])/.exec(error.message)?.[1];
      const line =
        (quote === undefined ? 0 : openQuote(lines, quote)) || this.#lines.linePos(error.pos[0]).line;
      throw new UserError(`${place(line)}: ${explain(error.code, error.message, lines, line)}`);
    }
  }

  root(): ParsedNode | null {
    return this.#document.contents;
  }

  /** The pairs of a mapping with the line of each key; merge keys (`<<`) give way to written ones. */
  pairs(map: YAMLMap): [string, Raw, number][] {
    const own = new Map<string, [string, Raw, number]>();
    const merged: [string, Raw, number][] = [];
    for (const pair of map.items) {
      const line = this.#line(pair.key as Node | null);
      if (!this.#yaml.isScalar(pair.key)) throw this.#fault(pair.key as Node | null, "a key must be a word");
      const key = String(pair.key.value ?? "");
      const value = pair.value as Node | null;
      if (key === "<<" && pair.key.type === "PLAIN") merged.push(...this.#mergedPairs(value));
      else if (own.has(key))
        throw new UserError(`${this.#place(line)}: ${key} is given twice; keep one of the two`);
      else own.set(key, [key, this.value(value), line]);
    }
    return [...merged.filter(([key]) => !own.has(key)), ...own.values()];
  }

  value(node: Node | null): Raw {
    if (node === null) return null;
    this.#count(node);
    if (this.#yaml.isAlias(node)) return this.#followed(node, (target) => this.value(target));
    if (this.#yaml.isScalar(node)) return this.#scalar(node);
    if (this.#yaml.isSeq(node)) return node.items.map((item) => this.value(item as Node | null));
    if (this.#yaml.isMap(node))
      return Object.fromEntries(this.pairs(node).map(([key, value]) => [key, value]));
    throw this.#fault(node, "this is not a value");
  }

  /** Merged mappings count like values: nested, they multiply in the same way. */
  #count(node: Node | null): void {
    if (++this.#values > MOST_VALUES) throw this.#fault(node, `more than ${MOST_VALUES} values`);
  }

  #mergedPairs(node: Node | null): [string, Raw, number][] {
    this.#count(node);
    if (this.#yaml.isAlias(node)) return this.#followed(node, (target) => this.#mergedPairs(target));
    if (this.#yaml.isMap(node)) return this.pairs(node);
    // Of several mappings the earlier one wins.
    if (this.#yaml.isSeq(node))
      return [...node.items].reverse().flatMap((item) => this.#mergedPairs(item as Node | null));
    throw this.#fault(node, "<< takes a mapping");
  }

  #followed<T>(alias: Alias, then: (target: Node) => T): T {
    let target = this.#targets.get(alias);
    if (target === undefined) {
      target = alias.resolve(this.#document); // looks through the whole document
      if (target !== undefined) this.#targets.set(alias, target);
    }
    if (target === undefined) throw this.#fault(alias, `there is no anchor &${alias.source}`);
    if (this.#open.has(target)) throw this.#fault(alias, `*${alias.source} contains itself`);
    this.#open.add(target);
    try {
      return then(target);
    } finally {
      this.#open.delete(target);
    }
  }

  #scalar(node: Scalar): Raw {
    const source = String(node.value ?? "");
    if (node.tag?.startsWith("tag:yaml.org,2002:")) return this.#tagged(node, node.tag.slice(18), source);
    if (node.tag !== undefined) throw this.#fault(node, `the tag ${node.tag} is not understood`);
    if (node.type !== "PLAIN" && node.type !== undefined) return source;
    if (source === "=" || source === "<<") throw this.#fault(node, `put ${source} in quotes`);
    return plainScalar(source);
  }

  #tagged(node: Scalar, tag: string, source: string): Raw {
    if (tag === "str") return source;
    if (tag === "int" && Number.isSafeInteger(integerOf(source))) return integerOf(source);
    if (tag === "float") return new Float(floatOf(source));
    if ((tag === "bool" || tag === "null") && typeof plainScalar(source) !== "string")
      return plainScalar(source);
    throw this.#fault(node, `${source} is not a value of the tag !!${tag}`);
  }

  #line(node: Node | null): number {
    return this.#lines.linePos(node?.range?.[0] ?? 0).line;
  }

  #fault(node: Node | null, message: string): UserError {
    const line = this.#line(node);
    const key = /^\s*([\w-]+)\s*:/.exec(this.#source.split(/\r?\n/)[line - 1] ?? "")?.[1];
    const said =
      key !== undefined && isSecret(key)
        ? `${key}: the value cannot be read; put it in single quotes`
        : message;
    return new UserError(`${this.#place(line)}: ${said}`);
  }
}

/** The first line (from 1) on which a quote has no partner; 0 where every line is even. */
function openQuote(lines: readonly string[], quote: string): number {
  return 1 + lines.findIndex((text) => text.split(quote).length % 2 === 0);
}

/** One line for a syntax error, without the position that `message` may repeat. */
function explain(code: string, message: string, lines: readonly string[], line: number): string {
  const near = [lines[line - 1], lines[line - 2]];
  if (code === "TAB_AS_INDENT" || near.some((text) => text !== undefined && /^ *\t/.test(text))) {
    return "a tab is used for indentation; YAML takes spaces only";
  }
  if (code === "MISSING_CHAR" && message.startsWith("Missing closing")) {
    return "a quote is opened here and not closed; close it";
  }
  if (/IMPLICIT_KEY|MISSING_CHAR/.test(code) && near.some((text) => /^\s*\w+:[^\s/]/.test(text ?? ""))) {
    return "a space is missing after the colon: write `key: value`";
  }
  if (code === "MULTIPLE_DOCS") return "a second document begins here (---); a recipe is one document";
  return `this is not YAML: ${message.split("\n")[0]?.replace(/:$/, "")}`;
}

// What the schema says about a key, as plain data: for `qwen-pt help KEY`, docs/recipe.md and the JSON Schema.
import type { Command, Group, Key, KeyClass } from "./key.js";
import { nearestName } from "./nearest.js";
import { SCHEMA } from "./schema.js";

/** A key of the schema in words. */
export interface KeyDescription {
  /** As in a recipe. */
  readonly name: string;
  /** The part of the documentation that it belongs to. */
  readonly group: Group;
  /** Whether it works, has no effect here or is refused. */
  readonly class: KeyClass;
  /** The type, such as `an integer, at least 1`. */
  readonly type: string;
  /** The default as YAML, or in words where it depends on another key. */
  readonly default: string;
  /** What it does, in a sentence or two. */
  readonly doc: string;
  /** Why it has no effect or is refused, and what to do instead. */
  readonly reason?: string;
  /** The commands that read it. */
  readonly commands: readonly Command[];
}

/** Describes every key, in the order of the documentation. */
export function listKeys(): KeyDescription[] {
  return [...SCHEMA].map(([name, key]) => description(name, key));
}

/** Describes one key; undefined if it is unknown (see nearestKey). */
export function describeKey(name: string): KeyDescription | undefined {
  const key = SCHEMA.get(name);
  return key && description(name, key);
}

/** The known key that an unknown one most likely meant; undefined for none. */
export function nearestKey(name: string): string | undefined {
  return nearestName(name, SCHEMA.keys());
}

function description(name: string, key: Key<unknown, unknown>): KeyDescription {
  return {
    name,
    group: key.group,
    class: key.class,
    type: key.type,
    default: key.defaultText ?? yamlOf(key.default),
    doc: key.doc,
    reason: key.reason,
    commands: key.commands,
  };
}

function yamlOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(",");
  return value === "" ? "none" : String(value);
}

/** The JSON Schema of a recipe, for completion and checks in editors. Refused keys are left out. */
export function recipeJsonSchema(): Record<string, unknown> {
  const properties: Record<string, unknown> = {};
  for (const [name, key] of SCHEMA) {
    if (key.class === "refused") continue;
    const reason = key.reason === undefined ? "" : ` (no effect here: ${key.reason})`;
    const shown = key.defaultText === undefined && key.default !== null ? { default: key.default } : {};
    properties[name] = { description: `${key.doc}${reason}`, ...nullable(key.json), ...shown };
  }
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "qwen-pt recipe",
    type: "object",
    properties,
    required: ["model_name_or_path"],
  };
}

/** Every key takes null, which leaves it at its default. */
function nullable(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (Array.isArray(json.enum)) return { ...json, enum: [...json.enum, null] };
  if (json.type === undefined) return { ...json };
  return { ...json, type: [json.type, "null"].flat() };
}

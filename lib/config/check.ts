// Checks one entry after the other against the schema: known key, type, value, class. For what keys mean
// together see rules/.
import { UserError } from "../errors.js";
import type { Checked } from "./checked.js";
import { atHome } from "./home.js";
import { type Command, type Key, Mismatch, Refusal } from "./key.js";
import { nearestName } from "./nearest.js";
import { type Recipe, SCHEMA } from "./schema.js";
import { isSecret, maskedOverride } from "./secret.js";
import type { Resolved } from "./syntax/interpolate.js";
import { Float, plainScalar, plainValue, type Raw } from "./syntax/scalar.js";

/** Throws UserError for the first entry that does not fit. */
export function checkEntries(
  entries: ReadonlyMap<string, Resolved>,
  command: Command,
  env: NodeJS.ProcessEnv,
): Checked {
  const recipe: Record<string, unknown> = {};
  for (const [name, key] of SCHEMA)
    recipe[name] = Array.isArray(key.default) ? [...key.default] : key.default;
  const given = new Set<string>();
  const notes: string[] = [];
  for (const [name, entry] of entries) {
    const key = SCHEMA.get(name);
    if (key === undefined) {
      notes.push(unknownKey(name, entry.where, env));
      continue;
    }
    // As in LLaMA-Factory, null leaves a key at its default.
    if (entry.value === null) continue;
    given.add(name);
    const note = checkEntry(name, key, entry, { command, env, recipe });
    if (note !== undefined) notes.push(note);
  }
  return { recipe: recipe as unknown as Recipe, given, notes };
}

function unknownKey(key: string, where: string, env: NodeJS.ProcessEnv): string {
  const name = maskedOverride(key); // hf_hub_token:... is one too
  if (/^(?:1|y|true)$/i.test(env.ALLOW_EXTRA_ARGS ?? "")) {
    return `${where}: ${name} is not a known key and is ignored (ALLOW_EXTRA_ARGS)`;
  }
  const nearest = nearestName(key, SCHEMA.keys());
  const guess = nearest === undefined ? "docs/recipe.md lists them all" : `did you mean ${nearest}?`;
  throw new UserError(
    `${where}: unknown key ${name}; ${guess} (ALLOW_EXTRA_ARGS=1 in the environment lets unknown keys pass)`,
  );
}

/** Puts the value into the recipe; returns the note to show, if any. */
function checkEntry(
  name: string,
  key: Key<unknown, unknown>,
  entry: Resolved,
  { command, env, recipe }: { command: Command; env: NodeJS.ProcessEnv; recipe: Record<string, unknown> },
): string | undefined {
  const raw = decoded(entry, key);
  if (raw === "???")
    throw new UserError(`${entry.where}: ${name}: ??? stands for a value that is still to be filled in`);
  const value = plainValue(raw);
  if (value === null) return undefined;
  const here = key.commands.includes(command);
  if (key.class === "refused" && isHarmless(value, key)) return undefined;
  try {
    recipe[name] = atHome(name, key.read(value), env);
  } catch (error) {
    if (error instanceof Mismatch) {
      throw new UserError(
        `${entry.where}: ${name}: expected ${error.expected}, received ${shownOf(name, value)}`,
      );
    }
    if (!(error instanceof Refusal)) throw error;
    if (!here) return undefined;
    throw new UserError(`${entry.where}: ${name}: ${shownOf(name, value)} is refused: ${error.message}`);
  }
  if (same(recipe[name], key.default) || !here) return undefined;
  if (key.class === "refused") {
    throw new UserError(`${entry.where}: ${name}: ${shownOf(name, value)} is refused: ${key.reason}`);
  }
  if (key.class === "working" || key.quiet) return undefined;
  return `${entry.where}: ${name} has no effect here: ${key.reason}`;
}

/** An environment variable is text; a key that wants a number or a truth value reads it as YAML would. */
function decoded(entry: Resolved, key: Key<unknown, unknown>): Raw {
  if (!entry.interpolated || key.wantsText || typeof entry.value !== "string") return entry.value;
  return plainScalar(entry.value);
}

function isHarmless(value: unknown, key: Key<unknown, unknown>): boolean {
  const empty =
    value === "" || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
  return empty || value === false || same(value, key.default) || (key.harmless ?? []).includes(value);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === "object" && JSON.stringify(a) === JSON.stringify(b));
}

function shownOf(name: string, value: unknown): string {
  return isSecret(name) ? "a value that is not shown" : shown(value);
}

/** A value as it is shown in a message: short, on one line. */
export function shown(value: unknown): string {
  if (value instanceof Float) return String(value.value);
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

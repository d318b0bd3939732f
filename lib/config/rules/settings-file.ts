// Settings of another trainer's, as a recipe gives them: keys and values, or a JSON file of them; and one setting checked.
import { readFileSync } from "node:fs";
import { UserError } from "../../errors.js";
import { isObject, parseJson } from "../../files/json.js";
import type { Setting } from "../checked.js";

/** Keys and values, by their names. */
export type Settings = Readonly<Record<string, unknown>>;

/** A setting by its value: undefined where it can be taken, else why it cannot and what to do. */
export type SettingCheck = (value: unknown) => string | undefined;

/**
 * The settings of a key of the recipe.
 * @throws UserError where its file cannot be read or holds something else
 */
export function settingsOf(key: string, given: string | Settings, setting: Setting): Settings {
  if (typeof given !== "string") return given;
  let text: string;
  try {
    text = readFileSync(given, "utf8");
  } catch {
    throw new UserError(`${setting.where(key)}: ${key}: there is no file ${given}; name one that is there`);
  }
  const found = parseJson(text, given);
  if (!isObject(found)) throw new UserError(`${given}: expected keys and values, in braces`);
  return found;
}

/**
 * Holds settings against what can be said of each.
 * @param name of the settings, in messages
 * @throws UserError for one that is not known or cannot be taken
 */
export function checkSettings(
  name: string,
  settings: Settings,
  known: Readonly<Record<string, SettingCheck>>,
): void {
  for (const [key, value] of Object.entries(settings)) {
    const check = Object.hasOwn(known, key) ? known[key] : undefined;
    const why = check === undefined ? "not known here; remove it" : value === null ? undefined : check(value);
    if (why !== undefined)
      throw new UserError(`${name}: ${key}: ${JSON.stringify(value)} is refused: ${why}`);
  }
}

/** A setting whose values all give the same result. */
export const harmless: SettingCheck = () => undefined;

/** A setting that may only be off. */
export const off =
  (why: string): SettingCheck =>
  (value) =>
    value === false || value === "none" ? undefined : why;

/** A setting that is one of some values. */
export const among =
  (...values: readonly unknown[]): SettingCheck =>
  (value) =>
    values.includes(value)
      ? undefined
      : `expected one of ${values.map((one) => JSON.stringify(one)).join(", ")}`;

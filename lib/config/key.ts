// One YAML key: its type, default, meaning and class, and the builders that write it down once.
// Nothing here knows a particular key, a file or another key: those are keys/, syntax/ and rules/.

/** The commands that read a recipe. */
export type Command = "train" | "export" | "chat";

/** Where a key belongs in the documentation. */
export type Group = "model" | "data" | "method" | "training" | "output" | "incremental" | "generation";

/**
 * What this version does with a key:
 * `working`: it does what LLaMA-Factory does with it;
 * `no effect here`: accepted, and its neglect cannot change the result;
 * `refused`: any value but a harmless one stops the run, because neglecting it would change the result.
 */
export type KeyClass = "working" | "no effect here" | "refused";

/** A value that does not fit: what was expected, in words that finish "expected ...". */
export class Mismatch extends Error {
  constructor(readonly expected: string) {
    super(`expected ${expected}`);
  }
}

/** A value that is known and not available here, with the reason and the remedy. */
export class Refusal extends Error {}

/** A key of the schema. `T` is the type in a resolved recipe, `I` what the programmatic door takes. */
export interface Key<T, I = T> {
  /** The type, in words. */
  readonly type: string;
  /** The value of a recipe that does not name the key. */
  readonly default: T;
  /** The default in words, where it depends on another key. */
  readonly defaultText?: string;
  /** One line: what the key means. */
  readonly doc: string;
  readonly class: KeyClass;
  /** Why a key has no effect or is refused, and what to do instead. */
  readonly reason?: string;
  /** No note is shown: neglecting it matters to nobody, or only beside a key that is refused itself. */
  readonly quiet?: boolean;
  /** Values of a refused key that ask for nothing. The default is one without being listed. */
  readonly harmless?: readonly unknown[];
  readonly group: Group;
  /** The commands that read it; elsewhere its type is checked and nothing else. */
  readonly commands: readonly Command[];
  /** The key's JSON Schema, without description and default. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Text that came out of an interpolation is read as a YAML scalar first, unless the key wants text. */
  readonly wantsText: boolean;
  /** The typed value. Throws Mismatch or Refusal. `null` never arrives: it stands for the default. */
  read(value: unknown): T;
  /** Only carries the type of the programmatic door. */
  readonly input?: I;
}

/** The type of a key's value in a resolved recipe. */
export type ValueOf<K> = K extends Key<infer T, infer _I> ? T : never;
/** The type that the programmatic door takes for a key. */
export type InputOf<K> = K extends Key<infer _T, infer I> ? I : never;

interface Common<D> {
  readonly default: D;
  readonly doc: string;
  readonly defaultText?: string;
}

interface Bounds {
  readonly min?: number;
  /** Excluded lower bound. */
  readonly above?: number;
  readonly max?: number;
  /** Excluded upper bound. */
  readonly below?: number;
}

type OrNull<D, T> = T | Extract<D, null>;

// `default` is unknown here because TypeScript cannot see that D, a number or null, is OrNull<D, number>.
function key<T, I = T>(
  part: Common<unknown> &
    Pick<Key<T, I>, "type" | "json"> & {
      read(value: unknown): unknown;
      wantsText?: boolean;
    },
): Key<T, I> {
  return { class: "working", group: "training", commands: [], wantsText: false, ...part } as Key<T, I>;
}

function boundsText(bounds: Bounds): string {
  const parts: string[] = [];
  if (bounds.min !== undefined) parts.push(`at least ${bounds.min}`);
  if (bounds.above !== undefined) parts.push(`above ${bounds.above}`);
  if (bounds.max !== undefined) parts.push(`at most ${bounds.max}`);
  if (bounds.below !== undefined) parts.push(`below ${bounds.below}`);
  return parts.join(" and ");
}

function within(value: number, bounds: Bounds): boolean {
  return (
    value >= (bounds.min ?? -Infinity) &&
    value > (bounds.above ?? -Infinity) &&
    value <= (bounds.max ?? Infinity) &&
    value < (bounds.below ?? Infinity)
  );
}

function numberKey<D extends number | null>(
  noun: string,
  options: Common<D> & Bounds,
  fits: (value: number) => boolean,
  jsonType: string,
): Key<OrNull<D, number>> {
  const bounds = boundsText(options);
  const expected = bounds ? `${noun}, ${bounds}` : noun;
  const json: Record<string, unknown> = { type: jsonType };
  if (options.min !== undefined) json.minimum = options.min;
  if (options.above !== undefined) json.exclusiveMinimum = options.above;
  if (options.max !== undefined) json.maximum = options.max;
  if (options.below !== undefined) json.exclusiveMaximum = options.below;
  return key<OrNull<D, number>>({
    ...options,
    type: expected,
    json,
    read(value) {
      if (typeof value !== "number" || !fits(value) || !within(value, options)) throw new Mismatch(expected);
      return value;
    },
  });
}

/** An integer; `8.0` is one too. */
export function int<D extends number | null>(options: Common<D> & Bounds): Key<OrNull<D, number>> {
  return numberKey("an integer", options, Number.isSafeInteger, "integer");
}

/** A finite number. */
export function float<D extends number | null>(options: Common<D> & Bounds): Key<OrNull<D, number>> {
  return numberKey("a number", options, Number.isFinite, "number");
}

/** A share (below 1) or a count (an integer from 1 on), as transformers reads its intervals. */
export function shareOrCount<D extends number | null>(
  options: Common<D> & { readonly zero: boolean },
): Key<OrNull<D, number>> {
  const expected = `an integer, or a share below 1${options.zero ? "" : "; not 0"}`;
  return key<OrNull<D, number>>({
    ...options,
    type: expected,
    json: options.zero ? { type: "number", minimum: 0 } : { type: "number", exclusiveMinimum: 0 },
    read(value) {
      const fits = typeof value === "number" && (options.zero ? value >= 0 : value > 0);
      if (!fits || (value >= 1 && !Number.isSafeInteger(value))) throw new Mismatch(expected);
      return value;
    },
  });
}

/** true or false. */
export function flag<D extends boolean | null>(options: Common<D>): Key<OrNull<D, boolean>> {
  return key<OrNull<D, boolean>>({
    ...options,
    type: "true or false",
    json: { type: "boolean" },
    read(value) {
      if (typeof value !== "boolean") throw new Mismatch("true or false");
      return value;
    },
  });
}

/** Text that is not empty. */
export function text<D extends string | null>(options: Common<D>): Key<OrNull<D, string>> {
  return key<OrNull<D, string>>({
    ...options,
    type: "text",
    wantsText: true,
    json: { type: "string" },
    read(value) {
      if (typeof value === "number" || typeof value === "boolean")
        throw new Mismatch("text (put it in quotes)");
      if (typeof value !== "string" || value === "") throw new Mismatch("text");
      return value;
    },
  });
}

interface ChoiceOptions<V extends string, D> extends Common<D> {
  readonly values: readonly V[];
  /** Other spellings that mean one of the values. */
  readonly same?: Readonly<Record<string, V>>;
  /** Values that LLaMA-Factory takes and this version does not. */
  readonly later?: readonly string[];
  /** Why, and what to do instead. */
  readonly reason?: string;
}

/** One of a few words. A bare `no` in YAML is false, and means the value "no" where there is one. */
// D is not tied to V, or TypeScript would take V | null for it; a test holds the default against the values.
export function choice<const V extends string, D extends string | null>(
  options: ChoiceOptions<V, D>,
): Key<OrNull<D, V>> {
  const { values, same = {}, later = [], reason = "it is not in this version", ...common } = options;
  const noWord = (values as readonly string[]).includes("no");
  const expected = `one of ${values.join(", ")}`;
  return key<OrNull<D, V>>({
    ...common,
    type: expected,
    wantsText: true,
    json: { enum: [...values, ...Object.keys(same), ...(noWord ? [false] : [])] },
    read(value) {
      const word = value === false ? "no" : value;
      if (typeof word === "string") {
        const found = values.find((candidate) => candidate === word);
        if (found !== undefined) return found;
        if (Object.hasOwn(same, word)) return same[word] as V;
        if (later.includes(word)) throw new Refusal(`${reason}; available: ${values.join(", ")}`);
      }
      throw new Mismatch(expected);
    },
  });
}

/**
 * The name of something that a table elsewhere has, to which programs may add: the table's reader refuses what it does
 * not have. `values` are names worth proposing.
 */
export function name(
  options: Common<string> & {
    readonly of: string;
    readonly values: readonly string[];
    readonly same?: Readonly<Record<string, string>>;
  },
): Key<string> {
  const { of, values, same = {}, ...common } = options;
  const expected = `the name of ${of}`;
  return key<string>({
    ...common,
    type: expected,
    wantsText: true,
    json: { type: "string", examples: values },
    read(value) {
      if (typeof value !== "string" || !/^\w[\w.-]*$/.test(value)) throw new Mismatch(expected);
      return same[value] ?? value;
    },
  });
}

/** Words separated by commas, or a YAML list of words. */
export function list<D extends readonly string[] | null>(
  options: Common<D>,
): Key<OrNull<D, string[]>, string | readonly string[]> {
  const expected = "a list, or text separated by commas";
  return key<OrNull<D, string[]>, string | readonly string[]>({
    ...options,
    type: expected,
    wantsText: true,
    json: { type: ["string", "array"], items: { type: "string" } },
    read(value) {
      const items = typeof value === "string" ? value.split(",") : value;
      if (!Array.isArray(items)) throw new Mismatch(expected);
      return items.map((item: unknown) => {
        if (typeof item === "number" || typeof item === "boolean") {
          throw new Mismatch("a list of texts (put each in quotes)");
        }
        if (typeof item !== "string" || item.trim() === "") throw new Mismatch("a list without empty items");
        return item.trim();
      });
    },
  });
}

/** Free-form values, for keys whose inside nobody reads here. */
export function anything(options: Common<null>): Key<unknown> {
  return key<unknown, unknown>({
    ...options,
    type: "any value",
    wantsText: true,
    json: {},
    read: (value) => value,
  });
}

/** A key with its own reader. */
export function custom<T, I = T>(
  options: Common<T> & Pick<Key<T, I>, "type" | "json" | "read"> & { wantsText?: boolean },
): Key<T, I> {
  return key<T, I>(options);
}

/** Accepted, without effect here, and named once in the notes when a recipe asks for it. */
export function idle<K extends Key<unknown, unknown>>(reason: string, of: K): K {
  return { ...of, class: "no effect here", reason };
}

/** Accepted, without effect here, and not worth a note. */
export function silent<K extends Key<unknown, unknown>>(reason: string, of: K): K {
  return { ...of, class: "no effect here", reason, quiet: true };
}

/** Any value but the default and the harmless ones stops the run. */
export function refused<K extends Key<unknown, unknown>>(
  reason: string,
  of: K,
  harmless: readonly unknown[] = [],
): K {
  return { ...of, class: "refused", reason, harmless };
}

/** Puts a table of keys into a group, read by the given commands. */
export function inGroup<const T extends Readonly<Record<string, Key<unknown, unknown>>>>(
  group: Group,
  commands: readonly Command[],
  keys: T,
): T {
  return Object.fromEntries(
    Object.entries(keys).map(([name, of]) => [name, { ...of, group, commands }]),
  ) as T;
}

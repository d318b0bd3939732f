// What a value that was read must be: small checks that put together give it its static type, and name the place in it
// that is something else. Where it was read from, and what to do about it: json-file.ts.

/** Gives a value its type, or throws a {@link Mismatch}. `place` is where in the file it stands: `sets[2].file`. */
export type Shape<T> = (value: unknown, place: string) => T;

/** The type of what a shape lets through. */
export type Of<S> = S extends Shape<infer T> ? T : never;

/** A value of another shape: what is needed where. */
export class Mismatch extends Error {
  constructor(place: string, wanted: string, value: unknown) {
    const what =
      value === undefined ? "is missing" : `${wanted} is needed, not ${JSON.stringify(value)?.slice(0, 60)}`;
    super(`${place && `${place}: `}${what}`);
  }
}

/** A shape from a test, and what to call it in a message. */
export function shape<T>(wanted: string, holds: (value: unknown) => boolean): Shape<T> {
  return (value, place) => {
    if (!holds(value)) throw new Mismatch(place, wanted, value);
    return value as T;
  };
}

/** A text. */
export const text = shape<string>("a text", (value) => typeof value === "string");
/** A number that is finite: JSON's 1e999 is not. */
export const number = shape<number>("a number", (value) => Number.isFinite(value));
/** A whole number from 0 that a double holds: a size, a count, a place. */
export const count = shape<number>(
  "a whole number from 0",
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);
/** true or false. */
export const flag = shape<boolean>("true or false", (value) => typeof value === "boolean");
/** SHA-256 in hexadecimal. */
export const sha256 = shape<string>(
  "a SHA-256",
  (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value),
);
/** Whatever is there. */
export const anything: Shape<unknown> = (value) => value;

/** One of some values. */
export function oneOf<const T extends string | number>(...values: readonly T[]): Shape<T> {
  return shape<T>(values.map((one) => JSON.stringify(one)).join(" or "), (value) =>
    values.includes(value as T),
  );
}

/** The shape, or nothing. */
export function optional<T>(of: Shape<T>): Shape<T | undefined> {
  return (value, place) => (value === undefined ? undefined : of(value, place));
}

/** The shape, or null. */
export function nullable<T>(of: Shape<T>): Shape<T | null> {
  return (value, place) => (value === null ? null : of(value, place));
}

/** A list of one shape. */
export function list<T>(of: Shape<T>): Shape<T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) throw new Mismatch(place, "a list", value);
    for (const [at, one] of value.entries()) of(one, `${place}[${at}]`);
    return value as T[];
  };
}

/** An object with any names, and values of one shape. */
export function table<T>(of: Shape<T>): Shape<Record<string, T>> {
  return (value, place) => {
    const found = objectAt(value, place);
    for (const [name, one] of Object.entries(found)) of(one, within(place, name));
    return found as Record<string, T>;
  };
}

/** An object whose named values have shapes; it may have others, which stay. */
export function object<F extends Record<string, Shape<unknown>>>(
  fields: F,
): Shape<{ [K in keyof F]: Of<F[K]> }> {
  return (value, place) => {
    const found = objectAt(value, place);
    for (const [name, of] of Object.entries(fields))
      of(Object.hasOwn(found, name) ? found[name] : undefined, within(place, name));
    return found as { [K in keyof F]: Of<F[K]> };
  };
}

function objectAt(value: unknown, place: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Mismatch(place, "an object", value);
  return value as Record<string, unknown>;
}

function within(place: string, name: string): string {
  const step = /^[\w-]+$/.test(name) ? name : JSON.stringify(name.slice(0, 60));
  return place === "" ? step : `${place}.${step}`;
}

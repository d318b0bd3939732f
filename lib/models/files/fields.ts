// Typed reading of a JSON object's keys, with one-line errors that name the file and the key.

import { UserError } from "../../errors.js";

/**
 * A JSON object that is read by key. Every reader throws UserError with the source, the key and what is
 * needed.
 */
export class Fields {
  /** The object as it was given. */
  readonly raw: Record<string, unknown>;

  constructor(
    raw: unknown,
    readonly source: string,
  ) {
    if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
      throw new UserError(`${source}: a JSON object is needed`);
    }
    this.raw = raw as Record<string, unknown>;
  }

  /** @throws UserError naming the source and the key. */
  fail(key: string, why: string): never {
    throw new UserError(`${this.source}: ${key}: ${why}`);
  }

  /** Present and not null. */
  has(key: string): boolean {
    return this.raw[key] !== undefined && this.raw[key] !== null;
  }

  /** A finite number; `fallback` where the key is absent or null. */
  number(key: string, fallback?: number): number {
    if (!this.has(key)) return fallback ?? this.fail(key, "is missing; a number is needed");
    const value = this.raw[key];
    if (typeof value !== "number" || !Number.isFinite(value)) {
      this.fail(key, `a number is needed, not ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** A number above 0; `fallback` where the key is absent or null. */
  positive(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (value <= 0) this.fail(key, `a number above 0 is needed, not ${value}`);
    return value;
  }

  /** A whole number of at least 1. */
  count(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (!Number.isSafeInteger(value) || value < 1)
      this.fail(key, `a whole number above 0 is needed, not ${value}`);
    return value;
  }

  /** True or false; `fallback` where the key is absent or null. */
  boolean(key: string, fallback: boolean): boolean {
    if (!this.has(key)) return fallback;
    const value = this.raw[key];
    if (typeof value !== "boolean") this.fail(key, `true or false is needed, not ${JSON.stringify(value)}`);
    return value;
  }

  /** A text; `fallback` where the key is absent or null. */
  string(key: string, fallback?: string): string {
    if (!this.has(key)) return fallback ?? this.fail(key, "is missing; a text is needed");
    const value = this.raw[key];
    if (typeof value !== "string") this.fail(key, `a text is needed, not ${JSON.stringify(value)}`);
    return value;
  }

  /** A token id or a list of them, whole numbers from 0; empty where the key is absent or null. */
  tokenIds(key: string): number[] {
    if (!this.has(key)) return [];
    const value = this.raw[key];
    const ids = Array.isArray(value) ? value : [value];
    for (const id of ids) {
      if (!Number.isSafeInteger(id) || id < 0)
        this.fail(key, `a token id is needed, not ${JSON.stringify(value)}`);
    }
    return ids as number[];
  }

  /** The first of {@link Fields.tokenIds}; undefined for none. */
  tokenId(key: string): number | undefined {
    return this.tokenIds(key)[0];
  }
}

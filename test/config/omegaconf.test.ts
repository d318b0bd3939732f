// The reader against OmegaConf itself: every case of omegaconf.json, which write_omegaconf.py wrote.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { interpolate } from "../../lib/config/syntax/interpolate.js";
import { applyOverrides, readYaml } from "../../lib/config/syntax/read.js";
import { plainValue } from "../../lib/config/syntax/scalar.js";
import { UserError } from "../../lib/errors.js";

interface Case {
  text?: string;
  overrides?: string[];
  value?: unknown;
  error?: true;
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/config/omegaconf.json", import.meta.url), "utf8"),
) as {
  env: Record<string, string>;
  base: string;
  scalars: Case[];
  texts: Case[];
  interpolations: Case[];
  overrides: Case[];
};

function read(text: string, overrides: string[] = []): Record<string, unknown> {
  const entries = readYaml(text, "recipe.yaml");
  applyOverrides(entries, overrides);
  const resolved = interpolate(entries, fixture.env);
  return Object.fromEntries([...resolved].map(([key, entry]) => [key, portable(plainValue(entry.value))]));
}

/** inf and nan as the fixture writes them. */
function portable(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    return { $float: Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf" };
  }
  if (Array.isArray(value)) return value.map(portable);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, portable(inner)]));
  }
  return value;
}

function check(wanted: Case, run: () => unknown): void {
  if (wanted.error) {
    expect(run).toThrow(UserError);
    expect(run).toThrow(/^[^\n]+$/);
  } else {
    expect(run()).toEqual(wanted.value);
  }
}

describe("as OmegaConf reads it", () => {
  test("the fixture has its cases", () => {
    expect(fixture.scalars.length).toBeGreaterThan(80);
    expect(fixture.texts.filter((each) => each.error).length).toBeGreaterThan(10);
  });
  test.each(fixture.scalars)("scalar $text", (wanted) => check(wanted, () => read(`a: ${wanted.text}\n`)));
  test.each(fixture.texts)("text $text", (wanted) => check(wanted, () => read(wanted.text ?? "")));
  test.each(fixture.interpolations)("interpolation $text", (wanted) =>
    check(wanted, () => read(wanted.text ?? "")),
  );
  test.each(fixture.overrides)("overrides $overrides", (wanted) =>
    check(wanted, () => read(fixture.base, wanted.overrides)),
  );
});

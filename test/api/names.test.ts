// The public names, door by door, as they were chosen: a name comes or goes by a decision, which changes names.json.
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { root } from "./room.js";

const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const listed: Record<string, string[]> = JSON.parse(
  readFileSync(path.join(root, "test/api/names.json"), "utf8"),
);
const doors = Object.entries<{ default?: string }>(manifest.exports).filter(
  ([, { default: file }]) => file !== undefined,
);

it("are listed for every door of package.json", () => {
  expect(doors.map(([door]) => door)).toEqual(Object.keys(listed));
});

it.each(doors)("of %s are those of the list", async (door, { default: file }) => {
  expect(Object.keys(await import(path.join(root, file as string))).sort()).toEqual(listed[door]);
});

it("of each door have their types under Node10 resolution too", () => {
  const [types] = Object.values<Record<string, string[]>>(manifest.typesVersions);
  for (const [door, { types: file }] of doors.slice(1) as unknown as [string, { types: string }][])
    expect(types?.[door.slice(2)]).toEqual([file.slice(2)]);
});

it("hold no internals of the binding", () => {
  const all = Object.values(listed).flat();
  for (const name of ["typed", "guarded", "holdLease", "releaseLease", "recallable", "remembering", "nextId"])
    expect(all).not.toContain(name);
});

// Rows of a bench's section: measured once, kept over an interruption, and only for the same settings.
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { Rows } from "../../bench/harness/rows.mjs";

const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-rows-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("goes on with the rows that are finished, of the same settings alone", async () => {
  const measured: string[] = [];
  const measure = (name: string) => async () => {
    measured.push(name);
    return { name };
  };
  const first = new Rows(folder, "section", { quick: true });
  expect(await first.row("a", measure("a"))).toEqual({ name: "a" });
  // the process ended before b was finished
  const failing = first.row("b", () => Promise.reject(new Error("killed")));
  await expect(failing).rejects.toThrow("killed");

  const again = new Rows(folder, "section", { quick: true });
  expect(await again.row("a", measure("a"))).toEqual({ name: "a" });
  await again.row("b", measure("b"));
  expect(measured).toEqual(["a", "b"]);

  await new Rows(folder, "section", { quick: false }).row("a", measure("a of others"));
  expect(measured).toEqual(["a", "b", "a of others"]);
});

it("keeps nothing of a finished section", async () => {
  const rows = new Rows(folder, "finished", {});
  await rows.row("a", async () => 1);
  rows.clear();
  expect(await new Rows(folder, "finished", {}).row("a", async () => 2)).toBe(2);
});

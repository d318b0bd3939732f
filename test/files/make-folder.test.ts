// Folders are made one by one: a file system that answers ENOENT for ever is said, not waited for.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeFolder } from "../../lib/files/make-folder.js";

const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-folder-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("makeFolder", () => {
  it("makes what is missing and names the first", () => {
    expect(makeFolder(path.join(root, "a", "b", "c"))).toBe(path.join(root, "a"));
    expect(existsSync(path.join(root, "a", "b", "c"))).toBe(true);
    expect(makeFolder(path.join(root, "a", "b", "c"))).toBeUndefined();
  });

  it("a file in the way is the system's error", () => {
    writeFileSync(path.join(root, "file"), "");
    expect(() => makeFolder(path.join(root, "file"))).toThrow(/EEXIST/);
    expect(() => makeFolder(path.join(root, "file", "below"))).toThrow(/ENOTDIR|EEXIST/);
  });

  it.skipIf(!existsSync("/proc/self"))("/proc, which has no room for folders, ends in an error", () => {
    expect(() => makeFolder("/proc/qwen-pt/none/below")).toThrow(/ENOENT|EACCES|EPERM/);
  });
});

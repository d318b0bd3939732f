// The release script, in a toy package with its own repository: what it writes, what it refuses, and that a dry run
// changes nothing. It never publishes, so nothing here could.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { contentFaults, required } from "../../scripts/release/package-contents.mjs";
import { datedChangelog, nextVersion, release, withVersion } from "../../scripts/release/release.mjs";

const manifest = {
  name: "qwen-pt",
  version: "0.1.0",
  main: "dist/index.js",
  types: "dist/index.d.ts",
  bin: { "qwen-pt": "dist/cli/main.js" },
  files: ["dist", "native", "scripts", "examples", "docs", "*.md", "NOTICE", "CMakeLists.txt", "binding.gyp"],
};
const lock = { name: "qwen-pt", version: "0.1.0", packages: { "": { name: "qwen-pt", version: "0.1.0" } } };
const changelog =
  "# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 0.1.0 - 2026-01-02\n\n- The first.\n";

let root: string;
const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
const read = (name: string) => readFileSync(path.join(root, name), "utf8");

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
  writeFileSync(path.join(root, name), text);
}

function commit(): void {
  git("add", "--all");
  git("commit", "--quiet", "--allow-empty", "--message", "A state");
}

/** Runs the release; returns what it said. */
function released(asked: string, dryRun = false): string {
  const lines: string[] = [];
  release(root, { asked, dryRun, date: "2026-03-04", say: (line: string) => lines.push(line) });
  return lines.join("\n");
}

describe("a release", () => {
  beforeEach(() => {
    root = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-release-"));
    for (const name of [...required, "lib/index.ts", "lib/cli/main.ts"]) write(name, "x\n");
    for (const name of ["dist/index.js", "dist/index.d.ts", "dist/cli/main.js"]) write(name, "x\n");
    write("package.json", `${JSON.stringify(manifest, null, 2)}\n`);
    write("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
    write("CHANGELOG.md", changelog);
    execFileSync("git", ["init", "--quiet", root]);
    git("config", "user.name", "Test");
    git("config", "user.email", "test@localhost");
    git("config", "commit.gpgsign", "false");
    git("config", "tag.gpgsign", "false");
    git("config", "core.autocrlf", "false");
    commit();
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it("writes the version, dates the changelog, commits, tags, and says how to publish", () => {
    expect(released("minor")).toContain("git push origin HEAD v0.2.0 && npm publish");
    expect(JSON.parse(read("package.json"))).toEqual({ ...manifest, version: "0.2.0" });
    const written = JSON.parse(read("package-lock.json"));
    expect([written.version, written.packages[""].version]).toEqual(["0.2.0", "0.2.0"]);
    expect(read("CHANGELOG.md")).toContain(
      "## Unreleased\n\n## 0.2.0 - 2026-03-04\n\n### Added\n\n- A thing.\n\n## 0.1.0",
    );
    expect(git("log", "-1", "--format=%s")).toBe("Release 0.2.0");
    expect(git("status", "--porcelain")).toBe("");
    expect(git("rev-parse", "v0.2.0^{commit}")).toBe(git("rev-parse", "HEAD"));
    expect(git("tag", "--list", "v0.2.0", "--format=%(contents)")).toBe(
      "qwen-pt 0.2.0\n\n### Added\n\n- A thing.",
    );
  });

  it("changes nothing in a dry run", () => {
    const before = git("rev-parse", "HEAD");
    const said = released("0.1.1", true);
    expect(said).toContain("0.1.0 -> 0.1.1");
    expect(said).toContain("- A thing.");
    expect([git("rev-parse", "HEAD"), git("status", "--porcelain"), git("tag")]).toEqual([before, "", ""]);
  });

  it.each<[string, () => void, RegExp]>([
    ["changes that are not committed", () => write("README.md", "y\n"), /not committed: M README\.md/],
    ["a tag that exists", () => git("tag", "v0.1.1"), /tag v0\.1\.1 exists/],
    ["a compiled file without a source", () => write("dist/old.js", "x\n"), /dist\/old\.js has no source/],
    ["a secret", () => write("examples/.env", "x\n"), /examples\/\.env does not belong/],
    ["a module that was not compiled", () => write("lib/new.ts", "x\n"), /dist\/new\.js is missing/],
    ["an empty section", () => write("CHANGELOG.md", "## Unreleased\n"), /nothing is listed/],
  ])("refuses %s, and leaves all as it was", (what, spoil, message) => {
    spoil();
    if (!what.includes("committed")) commit();
    const before = git("rev-parse", "HEAD");
    expect(() => released("patch")).toThrow(message);
    expect(git("rev-parse", "HEAD")).toBe(before);
    expect(JSON.parse(read("package.json")).version).toBe("0.1.0");
  });
});

describe("its parts", () => {
  it.each([
    ["patch", "1.2.4"],
    ["minor", "1.3.0"],
    ["major", "2.0.0"],
    ["1.10.0", "1.10.0"],
  ])("%s after 1.2.3 is %s", (asked, next) => expect(nextVersion("1.2.3", asked)).toBe(next));

  it.each(["1.2.3", "1.1.9", "1.02.4", "v2.0.0", "", undefined])("%s cannot follow 1.2.3", (asked) =>
    expect(() => nextVersion("1.2.3", asked)).toThrow(/not later|which version/),
  );

  it("date a changelog that has one section alone", () => {
    const { text } = datedChangelog("# Changelog\n\n## Unreleased\n\n- A.\n", "0.1.0", "2026-03-04");
    expect(text).toBe("# Changelog\n\n## Unreleased\n\n## 0.1.0 - 2026-03-04\n\n- A.\n");
  });

  it("leave other packages' versions alone", () => {
    const text = '{"name": "qwen-pt", "version": "0.1.0", "x": {"name": "other", "version": "0.1.0"}}';
    expect(withVersion(text, "0.1.0", "0.2.0")).toBe(text.replace("0.1.0", "0.2.0"));
  });

  it("refuse a tarball that has grown", () => {
    const paths = [...required, "dist/index.js", "dist/index.d.ts", "dist/cli/main.js"];
    expect(contentFaults({ paths, size: 1 }, manifest, [])).toEqual([
      "dist/index.js has no source in lib/",
      "dist/cli/main.js has no source in lib/",
    ]);
    expect(contentFaults({ paths, size: 2e7 }, manifest, ["dist/index.js", "dist/cli/main.js"])).toEqual([
      "20.0 MB is more than 16 MB",
    ]);
  });
});

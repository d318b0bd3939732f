// What package.json promises: what is published, which commands there are, why each dependency is there.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { missingEntries } from "../../scripts/release/lockfile.mjs";
import { contentFaults, modulesOf, packed } from "../../scripts/release/package-contents.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (name: string) => readFileSync(path.join(root, name), "utf8");
const manifest = JSON.parse(read("package.json"));

describe("the published package", () => {
  const contents = packed(root);

  it("holds what it must, a compiled file for each source, and no build, environment, test or run", () => {
    expect(contentFaults(contents, manifest, modulesOf(root))).toEqual([]);
  });

  it("holds everything that `files` lists", () => {
    expect(manifest.files.filter((name: string) => !existsSync(path.join(root, name)))).toEqual([]);
  });

  it("holds every C++ file", () => {
    const listed = execFileSync(process.execPath, ["scripts/sources.mjs"], { cwd: root, encoding: "utf8" });
    expect(
      listed
        .trim()
        .split("\n")
        .filter((name) => !contents.paths.includes(name)),
    ).toEqual([]);
  });

  it("holds every file that the library opens beside itself", () => {
    const opened = readdirSync(path.join(root, "lib"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .flatMap((name) => [...read(path.join("lib", name)).matchAll(/new URL\("(?:\.\.\/)+([^"]+\.\w+)"/g)])
      .map((match) => match[1]);
    expect(opened.filter((name) => !contents.paths.includes(name))).toEqual([]);
  });
});

describe("package.json", () => {
  it("has no install script: libtorch is not there yet when npm would run it", () => {
    for (const name of ["preinstall", "install", "postinstall"])
      expect(manifest.scripts[name]).toBeUndefined();
    expect(manifest.gypfile).toBe(false);
  });

  it("builds what is stale before a clone's commands", () => {
    for (const name of ["prepare", "pretest", "predemo"])
      expect(manifest.scripts[name]).toBe("node scripts/build.mjs");
  });

  it("runs scripts that exist", () => {
    const scripts = Object.values<string>(manifest.scripts).flatMap(
      (line) => line.match(/scripts\/[\w-]+\.mjs/g) ?? [],
    );
    expect(scripts.filter((name) => !existsSync(path.join(root, name)))).toEqual([]);
  });

  it("asks for the Node that the scripts check", () => {
    expect(manifest.engines.node).toBe(">=20.19");
    expect(read("scripts/tools.mjs")).toContain('"20.19"');
  });
});

describe("package-lock.json", () => {
  it("has an entry for every platform's optional package, or `npm ci` refuses it", () => {
    const missing = missingEntries(JSON.parse(read("package-lock.json")));
    expect([...missing.keys()], "run node scripts/release/lockfile.mjs").toEqual([]);
  });

  it("is completed with the platform that a name speaks of", () => {
    const parent = {
      optionalDependencies: { "@a/b-linux-x64-musl": "1.2.3", fsevents: "~2.3.3" },
      dev: true,
    };
    expect(Object.fromEntries(missingEntries({ packages: { "node_modules/p": parent } }))).toEqual({
      "node_modules/@a/b-linux-x64-musl": {
        version: "1.2.3",
        cpu: ["x64"],
        libc: ["musl"],
        os: ["linux"],
        dev: true,
        optional: true,
      },
      "node_modules/fsevents": { version: "2.3.3", os: ["darwin"], dev: true, optional: true },
    });
  });
});

describe("docs/dependencies.md", () => {
  const lines = read("docs/dependencies.md").split("\n");
  const named = (heading: string) => {
    const start = lines.indexOf(`## ${heading}`);
    const rest = lines.slice(start + 1);
    const end = rest.findIndex((line) => line.startsWith("## "));
    const rows = (end < 0 ? rest : rest.slice(0, end)).flatMap(
      (line) => line.match(/^- `([^`]+)`: \S.{10,}/)?.[1] ?? [],
    );
    return rows.sort();
  };

  it("has one line for each dependency", () => {
    expect(named("At run time")).toEqual(Object.keys(manifest.dependencies).sort());
    expect(named("Optional")).toEqual(Object.keys(manifest.optionalDependencies).sort());
  });

  it("has one line for each development dependency", () => {
    expect(named("For development")).toEqual(Object.keys(manifest.devDependencies).sort());
  });
});

// The optional package with compiled addons: taken where it fits, and refused in one line where it does not, with the way by
// the compiler open. The addons are the repository's own build.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { parse } from "yaml";
import { nativeHash } from "../../scripts/addon.mjs";
import { platforms, unfitness } from "../../scripts/prebuilt-addon.mjs";
import { libtorch, Room, root } from "./room.js";

const { version } = JSON.parse(readFileSync(path.join(root, "build/addon.json"), "utf8")) as {
  version: string;
};
const release = version.split("+")[0] as string;
const linux = it.runIf(process.platform === "linux");

let room: Room;
let folder: string;
beforeAll(() => {
  room = new Room();
  folder = path.join(room.dir, "node_modules", `qwen-pt-${process.platform}-${process.arch}`);
  writePackage();
});
afterAll(() => room?.remove());
beforeEach(() => rmSync(room.cache, { recursive: true, force: true }));

/** The optional package, as prebuilt.mjs lays it out. */
function writePackage(change: Record<string, unknown> = {}): void {
  const built = path.join(root, "build/cmake/Release");
  mkdirSync(folder, { recursive: true });
  const names = readdirSync(built).filter((name) => name.endsWith(".node"));
  for (const name of names) copyFileSync(path.join(built, name), path.join(folder, name));
  const sum = (name: string) =>
    createHash("sha256")
      .update(readFileSync(path.join(folder, name)))
      .digest("hex");
  const files = Object.fromEntries(names.map((name) => [name, sum(name)]));
  const made = { libtorch: version, nodeApi: 9, sources: nativeHash(), files, ...change };
  writeFileSync(path.join(folder, "prebuilt.json"), JSON.stringify(made));
  writeFileSync(path.join(folder, "package.json"), '{ "name": "prebuilt", "version": "0.1.0" }');
}

const setup = (...args: string[]) => room.run(["setup", ...args], { LIBTORCH: libtorch, FAKE: "fail" });

linux("is taken without a compiler, and the addon computes", () => {
  const { code, lines, out } = setup();
  expect(lines.at(-1)).toBe("qwen-pt: took the prebuilt addon: nothing is compiled");
  expect([code, room.compilations()]).toEqual([0, []]);
  expect(out).toContain(`qwen-pt is set up: libtorch ${version}`);
  expect(room.run(["doctor"]).out).toMatch(/^ok +Addon +loads/m);
  expect(setup().lines.at(-1)).not.toContain("prebuilt"); // a second time it is there
});

linux.each([
  [
    "another libtorch",
    { libtorch: "2.99.0+cpu" },
    `it was built against libtorch 2.99.0, and ${version} is here`,
  ],
  ["another Node-API", { nodeApi: 99 }, `it needs Node-API 99, and this Node has ${process.versions.napi}`],
  ["other sources", { sources: "x" }, "it was built from the C++ of another version of this package"],
  ["a damaged file", { files: { "qwen_pt.node": "0" } }, "qwen_pt.node is missing or damaged"],
])("built for %s is refused in a line, and setup compiles", (_, change, why) => {
  writePackage(change);
  const { code, lines } = setup();
  expect(lines).toContain(`qwen-pt: the prebuilt addon is not used: ${why}`);
  expect(code).toBe(1); // the compiler of this room fails
  expect(room.compilations()).not.toEqual([]);
  writePackage();
});

linux("that does not load is refused with what the loader says", () => {
  const half = readFileSync(path.join(folder, "qwen_pt.node")).subarray(0, 100_000);
  writeFileSync(path.join(folder, "qwen_pt.node"), half);
  const files = { "qwen_pt.node": createHash("sha256").update(half).digest("hex") };
  const made = JSON.parse(readFileSync(path.join(folder, "prebuilt.json"), "utf8"));
  writeFileSync(path.join(folder, "prebuilt.json"), JSON.stringify({ ...made, files }));
  expect(setup().lines.join("\n")).toMatch(
    /the prebuilt addon is not used: it does not load here \((?:Error: .+|its process ended with \w+)\)/,
  );
  writePackage();
});

linux("--force compiles whatever is there", () => {
  expect(setup("--force").lines.join("\n")).not.toContain("prebuilt");
});

it("fits every build of the same release of libtorch", () => {
  expect(unfitness(folder, { version: `${release}+cu130` })).toBeUndefined();
});

it("the platforms are those of the documentation and of the workflow, tried where they say so", () => {
  const said = platforms.map(({ platform, arch, tried }) => [`${platform}-${arch}`, tried]);
  const rows = (page: string, words: string) =>
    [...readFileSync(path.join(root, page), "utf8").matchAll(/^\| `qwen-pt-([\w-]+)` \| (.+) \|$/gm)].map(
      ([, name, state]) => [name, state === words],
    );
  expect(rows("docs/installation.md", "made and tried")).toEqual(said);
  expect(rows("docs/zh/installation.md", "已制作并试过")).toEqual(said);
  const workflow = parse(readFileSync(path.join(root, ".github/workflows/prebuilt.yml"), "utf8"));
  const jobs: { package: string; untried?: boolean }[] = workflow.jobs.addons.strategy.matrix.include;
  expect(jobs.map((job) => [job.package, job.untried !== true])).toEqual(said);
});

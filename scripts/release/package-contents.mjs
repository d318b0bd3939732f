// What the published package must hold and must not hold, and what `npm pack` would put into it. The release and
// test/house/package.test.ts ask here. It changes nothing.
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";

/** Files without which an installed package does not build, start or say what it is. */
export const required = [
  "LICENSE",
  "NOTICE",
  "README.md",
  "CHANGELOG.md",
  "SECURITY.md",
  "CMakeLists.txt",
  "binding.gyp",
  "package.json",
  "native/addon.cc",
  "scripts/build.mjs",
  "scripts/setup.mjs",
  "examples/recipe.yaml",
  "examples/model/model.safetensors",
  "docs/recipe.schema.json",
];

/** Builds, environments, tests, runs, and whatever may hold a secret. */
export const forbidden =
  /^(build|test|bench|node_modules|saves|\.)|(^|\/)(\.env|\.npmrc|\.git)|\.(node|tgz|log|pem|key)$|\.tsbuildinfo$/;

/** Bytes above which something large has slipped in: the embedded model is two thirds of them. */
const largest = 16e6;

/** What `npm pack` would pack: paths, and bytes of the tarball. */
export function packed(root) {
  const report = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32", // npm is a script there, which only a shell starts
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 1 << 26,
  });
  const [{ files, size }] = JSON.parse(report);
  return { paths: files.map((file) => file.path), size };
}

/** The modules of lib/ as dist/ should hold them: "dist/cli/main.js". */
export function modulesOf(root) {
  return readdirSync(path.join(root, "lib"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `dist/${name.replaceAll("\\", "/").replace(/\.ts$/, ".js")}`);
}

/**
 * A line for each fault of a tarball; none where it is as it should be.
 * @param contents what `packed` returns
 * @param manifest package.json
 * @param modules what `modulesOf` returns
 */
export function contentFaults({ paths, size }, manifest, modules) {
  const held = new Set(paths);
  const wanted = [...required, manifest.main, manifest.types, ...Object.values(manifest.bin), ...modules];
  const scripts = paths.filter((name) => /^dist\/.*\.js$/.test(name));
  const known = new Set(modules);
  return [
    ...[...new Set(wanted)].filter((name) => !held.has(name)).map((name) => `${name} is missing`),
    ...paths.filter((name) => forbidden.test(name)).map((name) => `${name} does not belong in it`),
    ...scripts.filter((name) => !known.has(name)).map((name) => `${name} has no source in lib/`),
    ...(size > largest ? [`${(size / 1e6).toFixed(1)} MB is more than ${largest / 1e6} MB`] : []),
  ];
}

// `npm run check`: formatting and lint (Biome, clang-format), types (library and tests), the house rules (import
// directions, names, dependencies). Runs all of them, then exits 1 if any failed. It changes nothing: `npm run format`
// mends.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { projectRoot } from "../libtorch.mjs";
import { packageFolder } from "../tools.mjs";

const program = (name, file) => path.join(packageFolder(name), file);

const steps = [
  ["format and lint", [program("@biomejs/biome", "bin/biome"), "check", "--error-on-warnings"]],
  ["layout of the C++", [path.join(projectRoot, "scripts", "checks", "clang-format.mjs")]],
  ["types", [program("typescript", "bin/tsc"), "--noEmit", "-p", "tsconfig.json"]],
  ["types of the tests", [program("typescript", "bin/tsc"), "-p", "test/tsconfig.json"]],
  ["house rules", [program("vitest", "vitest.mjs"), "run", "test/house", "--reporter=dot"]],
];

// The house rules compare with no Python, so none is installed for them.
const env = { QWEN_PT_REFERENCE_PYTHON: "none", ...process.env };
const failed = steps.filter(([name, args]) => {
  process.stdout.write(`\n== ${name}\n`);
  return spawnSync(process.execPath, args, { cwd: projectRoot, stdio: "inherit", env }).status !== 0;
});
if (failed.length > 0)
  process.stderr.write(`\nnpm run check: failed: ${failed.map(([name]) => name).join(", ")}\n`);
process.exitCode = failed.length > 0 ? 1 : 0;

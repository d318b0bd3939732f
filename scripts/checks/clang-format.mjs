// The layout of the C++: `node scripts/checks/clang-format.mjs` names the files of native/ that .clang-format would change and
// exits 1, `--write` changes them. clang-format is a wheel of 2 MB, fetched by pip into .tools/ on first use, so that
// `npm ci` does not wait for it and everybody has the same version.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { filesUnder } from "../addon.mjs";
import { projectRoot } from "../libtorch.mjs";
import { runScript, SetupError } from "../tools.mjs";
import { ensureTool } from "./tool-wheels.mjs";

const wheel = "clang-format==22.1.8";

/** The path of clang-format, installed first where it is missing. */
async function ensureClangFormat() {
  const site = await ensureTool("clang-format", wheel);
  const name = process.platform === "win32" ? "clang-format.exe" : "clang-format";
  const program = path.join(site, "clang_format", "data", "bin", name);
  if (!existsSync(program)) throw new SetupError(`the wheel ${wheel} holds no program for this platform.`);
  return program;
}

/** A file's text as .clang-format wants it. */
function formatted(program, file) {
  const result = spawnSync(program, ["--style=file", file], { encoding: "utf8", maxBuffer: 1 << 26 });
  if (result.status !== 0) {
    throw new SetupError(`clang-format failed on ${file}: ${result.error?.message ?? result.stderr.trim()}`);
  }
  return result.stdout;
}

/** The number of the first line in which two texts differ. */
function firstDifference(text, other) {
  const lines = other.split("\n");
  return text.split("\n").findIndex((line, i) => line !== lines[i]) + 1;
}

await runScript(async () => {
  const program = await ensureClangFormat();
  const write = process.argv.includes("--write");
  const files = filesUnder(path.join(projectRoot, "native")).filter((file) => /\.(cc|h)$/.test(file));
  let changed = 0;
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    const wanted = formatted(program, file);
    if (wanted === text) continue;
    changed += 1;
    if (write) writeFileSync(file, wanted);
    const place = `${path.relative(projectRoot, file)}:${firstDifference(text, wanted)}`;
    process.stdout.write(`${place}: ${write ? "formatted" : "not laid out as .clang-format says"}\n`);
  }
  process.stdout.write(`${files.length} C++ files, ${changed} ${write ? "changed" : "to be formatted"}\n`);
  if (changed > 0 && !write) {
    process.stdout.write("run npm run format\n");
    process.exitCode = 1;
  }
});

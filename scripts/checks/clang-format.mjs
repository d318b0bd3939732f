// The layout of the C++: `node scripts/checks/clang-format.mjs` names the files of native/ that .clang-format would change and
// exits 1, `--write` changes them. clang-format is a wheel of 2 MB, fetched by pip into .tools/ on first use, so that
// `npm ci` does not wait for it and everybody has the same version.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { filesUnder } from "../addon.mjs";
import { projectRoot } from "../libtorch.mjs";
import { withLock } from "../lock.mjs";
import { makeEnvironment, pipInstall, sitePackages } from "../pip.mjs";
import { runScript, SetupError } from "../tools.mjs";

const wheel = "clang-format==22.1.8";
const environment = path.join(projectRoot, ".tools", "clang-format");
const record = path.join(environment, "ready.json");

/** The installed program, or undefined where there is none of this version. */
function installed() {
  if (!existsSync(record)) return undefined;
  const { package: name, program } = JSON.parse(readFileSync(record, "utf8"));
  return name === wheel && existsSync(program) ? program : undefined;
}

async function install() {
  process.stderr.write(`qwen-pt: installing ${wheel} into .tools/, once\n`);
  makeEnvironment(environment);
  const problem = await pipInstall(environment, ["--only-binary=:all:", wheel]);
  if (problem !== "") {
    throw new SetupError(
      `${wheel} could not be installed into .tools/: ${problem}. Check pip's network or mirror.`,
    );
  }
  const name = process.platform === "win32" ? "clang-format.exe" : "clang-format";
  const program = path.join(sitePackages(environment), "clang_format", "data", "bin", name);
  if (!existsSync(program)) throw new SetupError(`the wheel ${wheel} holds no program for this platform.`);
  writeFileSync(record, `${JSON.stringify({ package: wheel, program })}\n`);
}

/** The path of clang-format, installed first where it is missing. */
async function ensureClangFormat() {
  if (installed() === undefined) {
    await withLock(environment, async () => {
      if (installed() === undefined) await install();
    });
  }
  return installed();
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

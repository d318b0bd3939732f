// Makes a release in the clone, and publishes nothing: `node scripts/release/release.mjs 0.2.0` (or patch, minor, major).
// Checks the tree, the changelog and what the tarball would hold; then writes the version into package.json and
// package-lock.json, dates the changelog's section, commits, tags, and prints the commands that publish.
//   --dry-run   all the checks, and what would be done; changes nothing
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { runScript, SetupError } from "../tools.mjs";
import { contentFaults, modulesOf, packed } from "./package-contents.mjs";

const parts = ["major", "minor", "patch"];

/** The version that `asked` (a version, or which part to raise) makes of `current`; it must be a later one. */
export function nextVersion(current, asked) {
  const now = current.split(".").map(Number);
  const part = parts.indexOf(asked);
  if (part >= 0) return now.map((n, i) => (i < part ? n : i === part ? n + 1 : 0)).join(".");
  if (!/^(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}$/.test(asked ?? "")) {
    throw new SetupError(
      `which version? Give one such as ${nextVersion(current, "minor")}, or patch, minor or major.`,
    );
  }
  const next = asked.split(".").map(Number);
  const first = next.findIndex((n, i) => n !== now[i]);
  if (first < 0 || next[first] < now[first])
    throw new SetupError(`version ${asked} is not later than ${current}.`);
  return asked;
}

/** The changelog with its unreleased section under `version` and `date`, and a new empty one above; and that section. */
export function datedChangelog(text, version, date) {
  const match = text.match(/^## Unreleased\n([\s\S]*?)(?=^## |(?![\s\S]))/m);
  if (!match) throw new SetupError('CHANGELOG.md has no section "## Unreleased".');
  const section = match[1].trim();
  if (!/^- /m.test(section)) throw new SetupError("CHANGELOG.md: nothing is listed under Unreleased.");
  if (text.includes(`\n## ${version} `))
    throw new SetupError(`CHANGELOG.md has a section ${version} already.`);
  const dated = `## Unreleased\n\n## ${version} - ${date}\n\n${section}\n`;
  const rest = text.slice(match.index + match[0].length);
  return { text: text.slice(0, match.index) + dated + (rest === "" ? "" : `\n${rest}`), section };
}

/** package.json or package-lock.json with the package's own version replaced; everything else byte for byte. */
export function withVersion(text, current, next) {
  const own = `"name": "qwen-pt",`;
  const pattern = new RegExp(`(${own}\\s+"version": )"${current.replaceAll(".", "\\.")}"`, "g");
  const replaced = text.replace(pattern, `$1"${next}"`);
  if (replaced === text) throw new SetupError(`a package file does not name version ${current} of qwen-pt.`);
  return replaced;
}

const git = (root, ...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();

/** Throws where the tree is not what a release is made from. */
function checkTree(root, tag) {
  const changes = git(root, "status", "--porcelain");
  if (changes !== "")
    throw new SetupError(`there are changes that are not committed: ${changes.split("\n")[0].trim()}`);
  if (git(root, "tag", "--list", tag) !== "") throw new SetupError(`the tag ${tag} exists already.`);
}

function checkContents(root, manifest) {
  const contents = packed(root);
  const faults = contentFaults(contents, manifest, modulesOf(root));
  if (faults.length > 0) {
    const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : "";
    throw new SetupError(
      `the tarball: ${faults[0]}${more}; package.json's "files" decides, npm run build builds.`,
    );
  }
  return contents;
}

/** Makes the release in `root`, or says what it would do; `say` gets each line. */
export function release(root, { asked, dryRun, date, say }) {
  const file = (name) => path.join(root, name);
  const read = (name) => readFileSync(file(name), "utf8");
  const manifest = JSON.parse(read("package.json"));
  const version = nextVersion(manifest.version, asked);
  const tag = `v${version}`;
  checkTree(root, tag);
  const changelog = datedChangelog(read("CHANGELOG.md"), version, date);
  const contents = checkContents(root, manifest);
  const texts = Object.entries({
    "package.json": withVersion(read("package.json"), manifest.version, version),
    "package-lock.json": withVersion(read("package-lock.json"), manifest.version, version),
    "CHANGELOG.md": changelog.text,
  });
  const size = `${contents.paths.length} files, ${(contents.size / 1e6).toFixed(1)} MB`;
  say(`${manifest.version} -> ${version}; the tarball holds what it must and nothing else: ${size}`);
  if (dryRun) {
    say(
      `would write ${texts.map(([name]) => name).join(", ")}; commit "Release ${version}"; tag ${tag}, with:`,
    );
    say(changelog.section);
    return;
  }
  for (const [name, text] of texts) writeFileSync(file(name), text);
  git(root, "commit", "--quiet", "--message", `Release ${version}`, "--", ...texts.map(([name]) => name));
  const message = `qwen-pt ${version}\n\n${changelog.section}\n`;
  execFileSync("git", ["tag", "--annotate", "--cleanup=verbatim", "--file=-", tag], {
    cwd: root,
    input: message,
  });
  say(`committed and tagged ${tag}. Nothing is published yet; when CI has passed on it:`);
  say(`  git push origin HEAD ${tag} && npm publish`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  await runScript(async () => {
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const options = process.argv.slice(2).filter((word) => word.startsWith("-"));
    const unknown = options.find((word) => word !== "--dry-run");
    if (unknown) throw new SetupError(`${unknown} is not an option; there is --dry-run.`);
    const built = spawnSync(process.execPath, [path.join(root, "scripts", "build.mjs"), "--typescript"], {
      stdio: "inherit",
    });
    if (built.status !== 0) throw new SetupError("dist/ could not be built: the line above says why.");
    release(root, {
      asked: process.argv.slice(2).find((word) => !word.startsWith("-")),
      dryRun: options.includes("--dry-run"),
      date: new Date().toISOString().slice(0, 10),
      say: (line) => process.stdout.write(`${line}\n`),
    });
  });
}

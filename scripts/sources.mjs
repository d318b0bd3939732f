// Lists native/'s C++ files for binding.gyp, which cannot search folders: `node scripts/sources.mjs
// [avx2|avx2vnni|avx512|avx512vnni [--count]]`.
// Without an argument: every file that runs on any processor; `text`, `distributed`: those of the addons that tokenize,
// and talk to other processes. CMakeLists.txt searches for itself, by the same rule.
import { readdirSync } from "node:fs";
import path from "node:path";

const root = process.cwd();

function sourcesIn(name) {
  const own = readdirSync(path.join(root, name)).filter((file) => file.endsWith(".cc"));
  return own.map((file) => `${name}/${file}`).sort();
}

/** Paths of the addons beside the main one. */
const besides = {
  text: () => ["native/files/json_scanner.cc", ...sourcesIn("native/text")],
  distributed: () =>
    ["", "/cards", "/fake", "/group", "/store"].flatMap((name) => sourcesIn(`native/distributed${name}`)),
};

/** Folders that are not of the main addon: each is built by itself. */
const APART = ["cuda_graph", "distributed", "environment", "nccl", "text"];

/** Every file below native/ that is compiled into the main addon, whatever folder a room is divided into. */
function mainSources(folder) {
  const below = readdirSync(path.join(folder, "native"), { recursive: true, withFileTypes: true });
  return below
    .filter((entry) => entry.isFile() && entry.name.endsWith(".cc"))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
    .filter((file) => !APART.some((apart) => file.startsWith(`native/${apart}/`)));
}

/** Paths from the project's root, forward slashes, sorted. */
export function nativeSources(capability = "any", folder = root) {
  const capabilityOf = (file) => file.match(/\.(avx[a-z0-9]+)\.cc$/)?.[1] ?? "any";
  return mainSources(folder)
    .filter((file) => capabilityOf(file) === capability)
    .sort();
}

// gyp runs this as a command and takes each word of the output for a file.
if (process.argv[1] && path.basename(process.argv[1]) === "sources.mjs") {
  const files = besides[process.argv[2]]?.() ?? nativeSources(process.argv[2]);
  process.stdout.write(`${process.argv[3] === "--count" ? files.length : files.join("\n")}\n`);
}

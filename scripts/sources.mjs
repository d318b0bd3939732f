// Lists native/'s C++ files for binding.gyp, which cannot search folders: `node scripts/sources.mjs [avx2|avx512 [--count]]`.
// Without an argument: every file that runs on any processor; `text`, `distributed`: those of the addons that tokenize,
// and talk to other processes. CMakeLists.txt searches for itself, by the same rule.
import { existsSync, readdirSync } from "node:fs";
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
    ["native/distributed", "native/distributed/fake", "native/distributed/store"].flatMap(sourcesIn),
};

/** Paths from the project's root, forward slashes, sorted. */
export function nativeSources(capability = "any", folder = root) {
  const files = [
    "native",
    "native/binding",
    "native/tensors",
    "native/files",
    "native/kernels",
    "native/kernels/attention",
    "native/kernels/cuda",
    "native/kernels/linear",
    "native/kernels/rows",
    "native/products",
    "native/products/coded",
    "native/products/integer",
    "native/products/low_rank",
    "native/products/panels",
    "native/accelerator",
  ].flatMap((name) =>
    existsSync(path.join(folder, name))
      ? readdirSync(path.join(folder, name))
          .filter((file) => file.endsWith(".cc"))
          .map((file) => `${name}/${file}`)
      : [],
  );
  const capabilityOf = (file) => file.match(/\.(avx2|avx512)\.cc$/)?.[1] ?? "any";
  return files.filter((file) => capabilityOf(file) === capability).sort();
}

// gyp runs this as a command and takes each word of the output for a file.
if (process.argv[1] && path.basename(process.argv[1]) === "sources.mjs") {
  const files = besides[process.argv[2]]?.() ?? nativeSources(process.argv[2]);
  process.stdout.write(`${process.argv[3] === "--count" ? files.length : files.join("\n")}\n`);
}

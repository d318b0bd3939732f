// Completes package-lock.json: `node scripts/release/lockfile.mjs`, after every `npm install`. npm leaves out of it the
// optional packages of other platforms that its registry did not serve, and `npm ci` then refuses the file.
// The entries that this adds carry no checksum: npm learns it on the platform that needs them.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const systems = ["android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "win32"];
const processors = [
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "ppc64",
  "riscv64",
  "s390x",
  "universal",
  "wasm32",
  "x64",
];

/** The platform that a package's name speaks of: `@scope/thing-linux-x64-gnu`. */
function platformOf(name) {
  const words = name.split(/[-/]/);
  const os = name === "fsevents" ? "darwin" : systems.find((word) => words.includes(word));
  const cpu = processors.find((word) =>
    words.some((part) => part === word || (word === "ppc64" && part.startsWith(word))),
  );
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.includes("gnu")
      ? "glibc"
      : undefined;
  return {
    ...(cpu && cpu !== "universal" ? { cpu: [cpu] } : {}),
    ...(libc ? { libc: [libc] } : {}),
    ...(os ? { os: [os] } : {}),
  };
}

/** Names of optional packages without an entry, with the entry that each needs. */
export function missingEntries(lock) {
  const missing = new Map();
  for (const [folder, entry] of Object.entries(lock.packages)) {
    for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${folder}/node_modules/${name}`;
      const hoisted = `node_modules/${name}`;
      if (lock.packages[nested] || lock.packages[hoisted]) continue;
      const platform = platformOf(name);
      // Without a platform in it npm would try to install it here.
      if (Object.keys(platform).length === 0) throw new Error(`${name}: no platform in its name`);
      const dev = entry.dev ? { dev: true } : {};
      missing.set(hoisted, { version: range.replace(/^[^\d]*/, ""), ...platform, ...dev, optional: true });
    }
  }
  return missing;
}

/** The lock with those entries, in npm's order. */
function completed(lock) {
  const packages = { ...lock.packages, ...Object.fromEntries(missingEntries(lock)) };
  const names = Object.keys(packages).sort((a, b) => a.localeCompare(b, "en"));
  return { ...lock, packages: Object.fromEntries(names.map((name) => [name, packages[name]])) };
}

if (process.argv[1] && import.meta.url === pathToFileURL(path.resolve(process.argv[1])).href) {
  const file = process.argv[2] ?? "package-lock.json";
  const lock = JSON.parse(readFileSync(file, "utf8"));
  const added = missingEntries(lock).size;
  if (added > 0) writeFileSync(file, `${JSON.stringify(completed(lock), null, 2)}\n`);
  process.stdout.write(`${added} entries added\n`);
}

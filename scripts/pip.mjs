// pip in our own virtual environment. pip's own settings (index, mirror, proxy, certificates) hold.
// Knows nothing of what is installed.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "./lock.mjs";
import { movingLine } from "./moving-line.mjs";
import { findPython, howToGet, SetupError } from "./tools.mjs";

/** The environment's Python. */
export function pythonOf(environment) {
  return process.platform === "win32"
    ? path.join(environment, "Scripts", "python.exe")
    : path.join(environment, "bin", "python");
}

/** The Python whose site-packages holds this libtorch, or undefined where it is a plain archive of libtorch. */
export function pythonBeside(root) {
  const site = path.dirname(root);
  const prefix =
    process.platform === "win32" ? path.resolve(site, "..", "..") : path.resolve(site, "..", "..", "..");
  const python = pythonOf(prefix);
  return path.basename(site) === "site-packages" && existsSync(python) ? python : undefined;
}

/** The environment's site-packages. */
export function sitePackages(environment) {
  const script = "import sysconfig; print(sysconfig.get_path('purelib'))";
  return spawnSync(pythonOf(environment), ["-c", script], { encoding: "utf8" }).stdout.trim();
}

/** Makes an empty virtual environment with pip in it, in place of whatever was there. */
export function makeEnvironment(environment, python = findPython()) {
  rmSync(environment, { recursive: true, force: true });
  const made = spawnSync(python[0], [...python.slice(1), "-m", "venv", environment], { encoding: "utf8" });
  if (made.status === 0 && existsSync(pythonOf(environment))) return;
  rmSync(environment, { recursive: true, force: true });
  const said = `${made.stdout}${made.stderr}`;
  if (/ensurepip|No module named venv/.test(said)) {
    throw new SetupError(`Python's venv module was not found: ${howToGet("venv")}`);
  }
  throw new SetupError(`python -m venv failed: ${said.trim().split("\n").at(-1)}`);
}

/**
 * The Python of an environment that `make` fills, once for each `stamp`: what it is filled with, in a text. Two that ask
 * at a time make it once.
 */
export async function ensureEnvironment(environment, stamp, make) {
  const record = path.join(environment, "ready.json");
  const isReady = () =>
    existsSync(record) && existsSync(pythonOf(environment)) && readFileSync(record, "utf8") === stamp;
  if (!isReady()) {
    await withLock(environment, async () => {
      if (isReady()) return;
      await make();
      writeFileSync(record, stamp);
    });
  }
  return pythonOf(environment);
}

const quiet = ["--disable-pip-version-check", "--no-input"];

/** Runs `pip install ...`; resolves to "" or to pip's last error line. */
export function pipInstall(environment, args) {
  const flags = [
    "-m",
    "pip",
    "install",
    ...quiet,
    "--no-warn-script-location",
    "--progress-bar",
    "off",
    ...args,
  ];
  return new Promise((resolve) => {
    // pip 25.1 and newer resume a download that broke off; older ones ignore what they do not know
    const env = { PIP_RESUME_RETRIES: "10", ...process.env };
    const child = spawn(pythonOf(environment), flags, { stdio: ["ignore", "pipe", "pipe"], env });
    const line = movingLine("pip is at work");
    let errors = "";
    child.stdout.on("data", (text) => {
      // pip names each download and its size: the one part of its talk that is worth a line.
      for (const said of String(text).split("\n"))
        if (/^\s*Downloading \S+ \(.*[MG]B\)/.test(said)) line.print(said.trim());
    });
    child.stderr.on("data", (text) => {
      errors += text;
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => {
      line.stop();
      resolve(code === 0 ? "" : lastError(errors));
    });
  });
}

function lastError(text) {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return lines.filter((line) => /error/i.test(line)).at(-1) ?? lines.at(-1) ?? "pip failed";
}

/** True where pip's configuration or environment names an index: then no other is asked. */
export function namesAnIndex(environment) {
  const listed = spawnSync(pythonOf(environment), ["-m", "pip", "config", "list"], { encoding: "utf8" });
  return /(^|\.)(index-url|extra-index-url|no-index)=/m.test(listed.stdout ?? "");
}

/**
 * What pip would install for `args`, without installing it: undefined where nothing matches,
 * "unknown" where this pip is too old to say (22.2 brought the report), else the files' addresses.
 */
export function pipPlan(environment, args) {
  const flags = ["-m", "pip", "install", ...quiet, "--quiet", "--dry-run", "--report", "-", ...args];
  const result = spawnSync(pythonOf(environment), flags, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (result.status === 2) return "unknown";
  if (result.status !== 0) return undefined;
  try {
    return JSON.parse(result.stdout).install.map((entry) => entry.download_info.url);
  } catch {
    return "unknown";
  }
}

/** Bytes to download for these addresses (local files: none), or undefined where a server does not say. */
export async function downloadSize(urls) {
  let total = 0;
  for (const url of urls) {
    if (url.startsWith("file:")) {
      statSync(fileURLToPath(url));
      continue;
    }
    const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(5000) }).catch(
      () => undefined,
    );
    const length = Number(response?.headers.get("content-length") ?? Number.NaN);
    if (!response?.ok || !Number.isFinite(length)) return undefined;
    total += length;
  }
  return total;
}

// Which build of libtorch a machine with an NVIDIA card wants: facts from NVIDIA and PyTorch, and decisions over them.
// Pure, but for askDriver, which runs nvidia-smi. Installs nothing; `qwen-pt doctor` reads the same tables.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { atLeast } from "./tools.mjs";

/**
 * The oldest driver on which a release family of CUDA runs (minor version compatibility), by CUDA's major version.
 * NVIDIA, "CUDA Compatibility: Minor Version Compatibility", and the release notes of 12.x for the full numbers:
 * docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
 */
const minimumDrivers = {
  11: { linux: "450.80.02", win32: "452.39" },
  12: { linux: "525.60.13", win32: "528.33" },
  13: { linux: "580", win32: "580" },
};

/** Driver below which this CUDA ("12.6") does not start, or undefined where that is not known. */
export function minimumDriver(cuda, platform = process.platform) {
  return minimumDrivers[cuda.split(".")[0]]?.[platform === "win32" ? "win32" : "linux"];
}

/**
 * The builds of PyTorch 2.13 for x86_64 and the compute capabilities compiled into them: pytorch/pytorch, RELEASE.md,
 * "PyTorch CUDA Support Matrix". Code for 8.6 also runs on 8.9, never on 9.0. `ptx`: newer cards compile at start.
 */
export const builds = {
  cu126: { cuda: "12.6", capabilities: ["5.0", "6.0", "7.0", "7.5", "8.0", "8.6", "9.0"], ptx: false },
  cu130: { cuda: "13.0", capabilities: ["7.5", "8.0", "8.6", "9.0", "10.0", "12.0"], ptx: true },
  cu132: { cuda: "13.2", capabilities: ["7.5", "8.0", "8.6", "9.0", "10.0", "12.0"], ptx: true },
};

/** Whether a build has code for a card: the same major number and not a higher minor one, or PTX older than the card. */
export function hasCodeFor(build, capability) {
  const [major, minor] = capability.split(".").map(Number);
  const compiled = build.capabilities.map((name) => name.split(".").map(Number));
  if (compiled.some(([a, b]) => a === major && b <= minor)) return true;
  const newest = compiled.at(-1);
  return build.ptx && (major > newest[0] || (major === newest[0] && minor >= newest[1]));
}

/** One card a line of `nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total --format=csv,noheader`. */
export function parseCards(text) {
  return text
    .split("\n")
    .map((line) => line.split(",").map((part) => part.trim()))
    .filter((parts) => parts.length >= 4 && /^\d+(\.\d+)+$/.test(parts[1]))
    .map(([name, driver, capability, memory]) => ({
      name,
      driver,
      // drivers before 510 do not answer for it: "[N/A]" or "[Not Supported]"
      ...(/^\d+\.\d+$/.test(capability) ? { capability } : {}),
      memoryMiB: Number.parseInt(memory, 10) || 0,
    }));
}

/** A container may have the driver but not its tool: the kernel module gives its version, and no more. */
function cardsOfKernel(file = "/proc/driver/nvidia/version") {
  if (!existsSync(file)) return undefined;
  const driver = readFileSync(file, "utf8").match(/Kernel Module\D*?\s(\d+\.\d+(\.\d+)?)\s/)?.[1];
  return driver ? { cards: [{ name: "an NVIDIA card", driver, memoryMiB: 0 }] } : undefined;
}

/** The cards that the NVIDIA driver reports, or in one line why it reports none; undefined without nvidia-smi. */
export function askDriver() {
  const query = ["--query-gpu=name,driver_version,compute_cap,memory.total", "--format=csv,noheader"];
  const asked = spawnSync("nvidia-smi", query, { encoding: "utf8", timeout: 20_000 });
  if (asked.error?.code === "ENOENT") return cardsOfKernel();
  const cards = asked.status === 0 ? parseCards(asked.stdout) : [];
  if (cards.length > 0) return { cards };
  const said = `${asked.stdout ?? ""}\n${asked.stderr ?? ""}`.split("\n").find((line) => line.trim() !== "");
  return { cards: [], problem: said?.trim() ?? asked.error?.message ?? "it lists no card" };
}

/**
 * The build for these cards and why: "cu130", the one that pip brings by default, where the driver and every card can
 * run it; else an older one; else "cpu".
 */
export function chooseBuild(cards, platform = process.platform) {
  if (cards.length === 0) return { build: "cpu", why: "no NVIDIA card answers" };
  const { driver } = cards[0];
  const reasons = [];
  for (const name of ["cu130", "cu126"]) {
    const build = builds[name];
    const least = minimumDriver(build.cuda, platform);
    const missing = cards.find((card) => card.capability && !hasCodeFor(build, card.capability));
    if (!atLeast(driver, least))
      reasons.push(`driver ${driver} is older than ${least}, which CUDA ${build.cuda} needs`);
    else if (missing)
      reasons.push(`CUDA ${build.cuda}'s build has no code for ${missing.name} (${missing.capability})`);
    else {
      const found = `${cards[0].name}${cards.length > 1 ? ` and ${cards.length - 1} more` : ""}, driver ${driver}`;
      return { build: name, driver, why: [found, ...reasons].join("; ") };
    }
  }
  return { build: "cpu", driver, why: reasons.join("; ") };
}

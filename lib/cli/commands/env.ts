// `qwen-pt env`: versions and hardware, in the form in which LLaMA-Factory's users paste them into a bug report.
// Every line is optional: it must work where nothing has been built and no GPU answers.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../errors.js";
import { packageVersion } from "../../version.js";
import { memory } from "../../words.js";
import { neededNothing, readArguments } from "../terminal/arguments.js";
import type { CommandMain } from "../terminal/host.js";

type Row = [name: string, value: string];

export const run: CommandMain = async (args, host) => {
  const json = neededNothing("env", readArguments("env", args)).flags.has("json");
  const shown: Row[] = [];
  const print = (rows: Row[]) => {
    shown.push(...rows);
    if (!json) host.out.write(rows.map(([name, value]) => `- ${name}: ${value}\n`).join(""));
  };
  const commit = gitCommit();
  if (!json) host.out.write("\n");
  print([
    ["`qwen-pt` version", packageVersion()],
    ["Platform", platform()],
    ["Node version", process.version.slice(1)],
    ["Tokenizers version", dependencyVersion("tokenizers")],
    ["CPU", `${os.cpus()[0]?.model.trim() || os.arch()}, ${os.availableParallelism()} threads`],
    ["Memory", `${memory(os.totalmem())}, ${memory(os.freemem())} free`],
    ...(commit ? ([["Git commit", commit]] as Row[]) : []),
    ["Default data directory", existsSync("data") ? "detected" : "not detected"],
  ]);
  // last: an addon that does not fit may end the process, and the lines above should be out by then
  print(await torchRows());
  const plain = shown.map(([name, value]) => [name.replaceAll("`", ""), value]);
  host.out.write(json ? `${JSON.stringify(Object.fromEntries(plain), null, 2)}\n` : "\n");
  return 0;
};

function platform(): string {
  let name = "";
  try {
    name = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
  } catch {
    // not a Linux with that file
  }
  return `${os.type()} ${os.release()} ${os.arch()}${name ? ` (${name})` : ""}`;
}

/** What libtorch and the addon say, or in one line why they cannot. */
async function torchRows(): Promise<Row[]> {
  const { addonPath, addonRecord, buildCommand } = await import("../../torch/native.js");
  const file = addonPath();
  const record = addonRecord();
  const rows: Row[] = [
    ["libtorch version", record.version ?? `none: the addon has not been built (${buildCommand()})`],
  ];
  if (record.libtorch) rows.push(["libtorch", record.libtorch]);
  if (file === undefined) return rows;
  rows.push(["Addon", file]);
  try {
    const { accelerator, buildInfo, deviceMemory, getNumThreads } = await import("../../torch/device.js");
    const info = buildInfo();
    rows[0] = ["libtorch version", `${info.builtWith}${info.hasCuda ? " (GPU)" : ""}`];
    rows.push([
      "CPU capability",
      `${info.cpuCapability}, oneDNN ${info.hasMkldnn ? "yes" : "no"}, ${getNumThreads()} compute threads`,
    ]);
    const gpu = accelerator();
    const flash = `flash, ${gpu ? "libtorch's kernels" : "this package's kernel"}`;
    rows.push([
      "Attention",
      `${flash} (flash_attn: auto, fa2, fa3); libtorch's choice (sdpa); plain (disabled)`,
    ]);
    rows.push(...(gpu ? gpuRows(gpu) : ([["GPU", "none"]] as Row[])));
    if (gpu) rows.push(["GPU memory in use", memory(deviceMemory(`${gpu.type}:0`).reserved)]);
  } catch (error) {
    rows.push(["Addon state", messageOf(error).replace(/\s+/g, " ")]);
  }
  return rows;
}

/** libtorch counts the devices; their names and sizes come from the driver's own tool where it is there. */
function gpuRows(gpu: { type: string; count: number }): Row[] {
  const rows: Row[] = [["GPU number", `${gpu.count} (${gpu.type})`]];
  const listed = output("nvidia-smi", [
    "--query-gpu=name,memory.total,driver_version",
    "--format=csv,noheader",
  ]);
  if (listed) rows.unshift(["GPU type", listed.split("\n").join("; ")]);
  return rows;
}

function dependencyVersion(name: string): string {
  try {
    const entry = createRequire(import.meta.url)
      .resolve(name)
      .replaceAll("\\", "/");
    const root = entry.slice(0, entry.lastIndexOf(`node_modules/${name}/`) + `node_modules/${name}/`.length);
    return (JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { version: string }).version;
  } catch {
    return "not installed";
  }
}

/** The commit of a clone; an installed package has none, and must not report that of the project around it. */
function gitCommit(): string | undefined {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  return existsSync(`${root}.git`) ? output("git", ["-C", root, "rev-parse", "HEAD"]) : undefined;
}

function output(command: string, args: string[]): string | undefined {
  try {
    const text = execFileSync(command, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 5000,
    });
    return text.trim() || undefined;
  } catch {
    return undefined;
  }
}

// What only Windows can be asked: its registry, its system libraries, Visual Studio. Judges nothing.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

function output(command: string, args: readonly string[]): string {
  const { error, status, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 20_000 });
  return error || status !== 0 ? "" : stdout;
}

/** The version of the newest Visual Studio that has the C++ tools ("17.9.34607"), or undefined. */
export function visualStudio(): string | undefined {
  const base = process.env["ProgramFiles(x86)"] ?? "C:\\Program Files (x86)";
  const where = path.join(base, "Microsoft Visual Studio", "Installer", "vswhere.exe");
  const component = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64";
  const said = output(where, [
    "-latest",
    "-products",
    "*",
    "-requires",
    component,
    "-property",
    "installationVersion",
  ]);
  return /^[\d.]+/.exec(said.trim())?.[0];
}

export function probeWindows(): { longPaths: boolean; vcRuntime: boolean } {
  const key = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\FileSystem";
  const system = path.join(process.env["SystemRoot"] ?? "C:\\Windows", "System32");
  return {
    longPaths: /LongPathsEnabled\s+REG_DWORD\s+0x1/.test(
      output("reg", ["query", key, "/v", "LongPathsEnabled"]),
    ),
    vcRuntime: existsSync(path.join(system, "vcruntime140_1.dll")),
  };
}

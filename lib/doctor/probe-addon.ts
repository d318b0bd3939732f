// Loads the addon in a separate process and asks it what it is: one that does not fit may end its process, and the
// doctor should live to say so. Run as that process, this file is the one that answers.
import { fork } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../errors.js";
import { addonPath, addonRecord, native } from "../torch/native.js";
import { productKinds } from "../torch/operators/products.js";
import type { Addon } from "./facts.js";

/** Set for that process alone. */
const ASKED = "QWEN_PT_PROBE_ADDON";

type Answer = { loaded: NonNullable<Addon["loaded"]> } | { error: string };

/** The OpenMP runtimes that this process has mapped. */
function openmp(): string[] {
  try {
    const files = readFileSync("/proc/self/maps", "utf8").match(/\/\S*\/lib(?:gomp|iomp5|omp)[.-]\S*/g) ?? [];
    return [...new Set(files)].map((file) => path.basename(file));
  } catch {
    return [];
  }
}

/** "6.0" for each `sm_60` that libtorch's own description of its build lists. */
export function capabilitiesIn(config: string): string[] | undefined {
  const found = [...config.matchAll(/code=sm_(\d+)(\d)/g)].map(([, major, minor]) => `${major}.${minor}`);
  return found.length > 0 ? [...new Set(found)] : undefined;
}

function answer(): Answer {
  try {
    const addon = native();
    const info = addon.buildInfo();
    const loaded = {
      libtorch: info.builtWith,
      cpuCapability: info.cpuCapability,
      products: productKinds(),
      devices: addon.accelerator()?.count ?? 0,
      openmp: openmp(),
      acceleratorError: info.acceleratorError,
      capabilities: capabilitiesIn(info.config),
    };
    return { loaded };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** This file where it was compiled; where it runs from its source, the compiled one. */
function program(): string {
  const here = fileURLToPath(import.meta.url);
  return here.endsWith(".js") ? here : here.replace(/([\\/])lib([\\/]doctor[\\/].*)\.ts$/, "$1dist$2.js");
}

/** Whether the addon has been built and loads, and what it says. */
export async function probeAddon(): Promise<Addon> {
  const built = addonPath() !== undefined;
  const libtorch = addonRecord().version;
  if (!built || !existsSync(program())) return { built, libtorch };
  const child = fork(program(), [], {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env: { ...process.env, [ASKED]: "1" },
  });
  return new Promise((resolve) => {
    child.on("message", (said: Answer) => resolve({ built, libtorch, ...said }));
    child.on("error", (error) => resolve({ built, libtorch, error: error.message }));
    child.on("exit", (code, signal) =>
      resolve({ built, libtorch, error: `its process ended with ${signal ?? code}` }),
    );
  });
}

if (process.env[ASKED] === "1") process.send?.(answer(), () => process.disconnect());

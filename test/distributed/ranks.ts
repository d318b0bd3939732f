// Starts the ranks of a run as processes over loopback, each with a script or a separate command, and says how each
// of them ended. Scripts are modules that import from the compiled package.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The compiled package, as an address. */
export const dist = pathToFileURL(path.join(root, "dist")).href;

/** The command line's file. */
export const program = path.join(root, "dist/cli/main.js");

/** How a rank ended. */
export interface Ended {
  rank: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
  /** After the ranks were started. */
  seconds: number;
}

/** No port is given twice: many runs' are chosen before the first begins, and a store listens a little longer than its run. */
const given = new Set<number>();

/**
 * A port that nobody listens at, and that the system gives no connection by itself: a run may listen there much later.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (given.has(port)) continue;
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (!isFree) continue;
    given.add(port);
    return port;
  }
}

export interface RanksOptions {
  size?: number;
  /** Beside torchrun's; a function of the rank where they differ. */
  env?: (rank: number) => Record<string, string>;
  /** Called as a rank writes to its standard output. */
  onOutput?: (rank: number, text: string, child: ChildProcess) => void;
  /** Node's arguments; default: a module of `script`. */
  args?: (rank: number) => string[];
  cwd?: string;
  /** Ranks that are started; default: all. */
  started?: number[];
}

/** Runs the module `script` on every rank; `init`, `t` (torch) and `rank` are there. */
export async function runRanks(script: string, options: RanksOptions = {}): Promise<Ended[]> {
  const { size = 2, env, onOutput, cwd = root } = options;
  const port = await freePort();
  const source = `import * as d from "${dist}/public/distributed.js";
import * as t from "${dist}/public/torch.js";
import { existsSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
const { init } = d;
const rank = Number(process.env.RANK);
const failure = async (promise) => { try { await promise; return ""; } catch (error) { return error.name + ": " + error.message; } };
${script}`;
  const args = options.args ?? (() => ["--input-type=module", "-e", source]);
  const begin = performance.now();
  const children = (options.started ?? [...Array(size).keys()]).map(
    (rank) =>
      new Promise<Ended>((resolve) => {
        const child = spawn(process.execPath, args(rank), {
          cwd,
          env: {
            ...process.env,
            RANK: String(rank),
            LOCAL_RANK: String(rank),
            WORLD_SIZE: String(size),
            MASTER_ADDR: "127.0.0.1",
            MASTER_PORT: String(port),
            OMP_NUM_THREADS: "1",
            ...env?.(rank),
          },
          stdio: ["ignore", "pipe", "pipe"],
        });
        const ended = { rank, out: "", err: "" };
        child.stdout.on("data", (text) => {
          ended.out += text;
          onOutput?.(rank, ended.out, child);
        });
        child.stderr.on("data", (text) => {
          ended.err += text;
        });
        child.on("close", (code, signal) =>
          resolve({ ...ended, code, signal, seconds: (performance.now() - begin) / 1000 }),
        );
      }),
  );
  return Promise.all(children);
}

/** Runs recipes one after the other, each in `size` processes; fails where a process does. */
export async function trainRanks(size: number, recipes: readonly RecipeInput[]): Promise<void> {
  const ports: number[] = [];
  for (const _ of recipes) ports.push(await freePort());
  const script = `
    const { resolveRecipe } = await import("${dist}/config/index.js");
    const { runRecipe } = await import("${dist}/train/index.js");
    const recipes = ${JSON.stringify(recipes)}, ports = ${JSON.stringify(ports)};
    for (const [at, recipe] of recipes.entries()) {
      process.env.MASTER_PORT = String(ports[at]);
      console.log(at);
      await runRecipe(resolveRecipe(recipe));
    }`;
  const ended = await runRanks(script, { size });
  const last = Number(ended[0]?.out.trim().split("\n").at(-1));
  const where = `recipe ${last + 1} of ${recipes.length}: ${JSON.stringify(recipes[last])}`;
  expect(
    ended.map(({ code, signal, err }) => [signal ?? code, err]),
    where,
  ).toEqual(ended.map(() => [0, ""]));
}

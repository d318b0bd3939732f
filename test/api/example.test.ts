// The loops of examples/, compiled and run where the package is installed.
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadModel, readConfig } from "../../lib/models/index.js";
import { adapterState, loadAdapter } from "../../lib/peft/index.js";
import { installed, root, tinyModel } from "./room.js";

let room: ReturnType<typeof installed>;
beforeAll(() => {
  room = installed();
  tinyModel(path.join(room.dir, "model"));
});
afterAll(() => room?.remove());

const linesOf = (name: string) =>
  readFileSync(path.join(root, "examples", name), "utf8")
    .trimEnd()
    .split("\n").length;

it("are loops in under 40 and 50 lines", () => {
  expect(linesOf("train.ts")).toBeLessThan(40);
  expect(linesOf("data-parallel.ts")).toBeLessThan(50);
});

it("compiles strictly, lowers the loss and saves an adapter that loads", () => {
  writeFileSync(path.join(room.dir, "package.json"), JSON.stringify({ type: "module" }));
  for (const name of ["train.ts", "data-parallel.ts"])
    copyFileSync(path.join(root, "examples", name), path.join(room.dir, name));
  const tsc = path.join(root, "node_modules/typescript/bin/tsc");
  const options = [
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--types",
    "node",
    "--ignoreConfig",
  ];
  const compiled = spawnSync(process.execPath, [tsc, ...options, "train.ts", "data-parallel.ts"], {
    cwd: room.dir,
    encoding: "utf8",
  });
  expect(compiled.stdout).toBe("");
  const args = ["train.js", "model", "out", "8", path.join(root, "examples/data")];
  const out = execFileSync(process.execPath, args, { cwd: room.dir, env: room.env, encoding: "utf8" });
  const losses = [...out.matchAll(/^step \d+ {2}loss (\d+\.\d+) {2}grad_norm \d/gm)].map((match) =>
    Number(match[1]),
  );
  expect(losses).toHaveLength(8);
  expect(losses[0]).toBeGreaterThan(8.7); // ln 8192 = 9.01: the first weights know nothing
  expect(losses[0]).toBeLessThan(9.3);
  const model = loadModel(path.join(room.dir, "model"), readConfig(path.join(room.dir, "model")));
  loadAdapter(model, path.join(room.dir, "out"));
  const trained = [...adapterState(model)].filter(([name]) => name.includes("lora_B"));
  expect(trained).toHaveLength(14);
  for (const [, tensor] of trained) expect(tensor.abs().max().item()).toBeGreaterThan(0);
  // a bfloat16 model: a loss of 8 in bfloat16 would move in steps of 1/16, one of 4 in steps of 1/32
  const narrow = [
    "train.js",
    path.join(root, "examples/model"),
    "narrow",
    "3",
    path.join(root, "examples/data"),
  ];
  const printed = execFileSync(process.execPath, narrow, { cwd: room.dir, env: room.env, encoding: "utf8" });
  const fine = [...printed.matchAll(/loss (\d+\.\d+)/g)].filter((match) => (Number(match[1]) * 64) % 1 !== 0);
  expect(fine.length).toBeGreaterThan(0);
});

it.skipIf(process.platform !== "linux")("go on in two processes, of which the first speaks", async () => {
  const { port } = await new Promise<{ port: number }>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address() as { port: number };
      server.close(() => resolve(address));
    });
  });
  const start = (rank: number) =>
    new Promise<string>((resolve, reject) => {
      const env = {
        ...room.env,
        RANK: String(rank),
        WORLD_SIZE: "2",
        MASTER_ADDR: "127.0.0.1",
        MASTER_PORT: String(port),
      };
      const args = ["data-parallel.js", "model", "16", path.join(root, "examples/data")];
      execFile(process.execPath, args, { cwd: room.dir, env }, (error, out) =>
        error === null ? resolve(out) : reject(error),
      );
    });
  const [first, second] = await Promise.all([start(0), start(1)]);
  const losses = [...first.matchAll(/^step \d+ {2}loss (\d+\.\d+)$/gm)].map((match) => Number(match[1]));
  expect(losses).toHaveLength(16);
  expect(losses[15]).toBeLessThan(losses[0]!);
  expect(second).toBe("");
});

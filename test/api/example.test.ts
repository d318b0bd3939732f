// examples/train.ts, compiled and run where the package is installed.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadModel, readConfig } from "../../lib/models/qwen3/index.js";
import { adapterState, loadAdapter } from "../../lib/peft/index.js";
import { installed, root, tinyModel } from "./room.js";

let room: ReturnType<typeof installed>;
beforeAll(() => {
  room = installed();
  tinyModel(path.join(room.dir, "model"));
});
afterAll(() => room?.remove());

it("is a loop in under 40 lines", () => {
  const lines = readFileSync(path.join(root, "examples/train.ts"), "utf8").trimEnd().split("\n");
  expect(lines.length).toBeLessThan(40);
});

it("compiles strictly, lowers the loss and saves an adapter that loads", () => {
  writeFileSync(path.join(room.dir, "package.json"), JSON.stringify({ type: "module" }));
  copyFileSync(path.join(root, "examples/train.ts"), path.join(room.dir, "train.ts"));
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
  const compiled = spawnSync(process.execPath, [tsc, ...options, "train.ts"], {
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

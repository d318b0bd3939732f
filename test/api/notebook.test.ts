// examples/notebooks, run by Jupyter's nbclient with the tslab kernel that the README's command installs: every cell compiles, runs, and shows what it should.
import { execFile, execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { installed, root } from "./room.js";

type Output = Record<string, string>;

let room: ReturnType<typeof installed>;
let environment: NodeJS.ProcessEnv;
beforeAll(() => {
  room = installed();
  // as npm lays it out: a cell imports tslab from the notebook's folder, and its program is in .bin
  mkdirSync(path.join(room.dir, "node_modules/.bin"), { recursive: true });
  symlinkSync(path.join(root, "node_modules/tslab"), path.join(room.dir, "node_modules/tslab"));
  symlinkSync("../tslab/bin/tslab", path.join(room.dir, "node_modules/.bin/tslab"));
  // of IPython, which comes with Jupyter, the installer takes this one name
  mkdirSync(path.join(room.dir, "ipython/IPython/utils"), { recursive: true });
  writeFileSync(
    path.join(room.dir, "ipython/IPython/utils/tempdir.py"),
    "from tempfile import TemporaryDirectory\n",
  );
  const readme = readFileSync(path.join(root, "README.md"), "utf8");
  const command = /npx tslab install [^&\n]*/.exec(readme)?.[0];
  execFileSync("sh", ["-c", `${command} --python "$PYTHON" --prefix "$PWD"`], {
    cwd: room.dir,
    env: {
      ...room.env,
      PYTHON: process.env.QWEN_PT_REFERENCE_PYTHON,
      PYTHONPATH: path.join(room.dir, "ipython"),
    },
    stdio: "pipe",
  });
  environment = {
    ...room.env,
    JUPYTER_PATH: path.join(room.dir, "share/jupyter"),
    JUPYTER_RUNTIME_DIR: path.join(room.dir, "run"),
    JUPYTER_PLATFORM_DIRS: "1",
    IPYTHONDIR: room.dir,
  };
  cpSync(path.join(import.meta.dirname, "run_notebook.py"), path.join(room.dir, "run_notebook.py"));
});
afterAll(() => room?.remove());

async function python(...args: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    process.env.QWEN_PT_REFERENCE_PYTHON as string,
    ["run_notebook.py", ...args],
    { cwd: room.dir, env: environment, maxBuffer: 1 << 26 },
  );
  return JSON.parse(stdout.trim().split("\n").at(-1) as string);
}

const book = (name: string) =>
  python(path.join(root, "examples/notebooks", `${name}.ipynb`), room.dir) as Promise<Output[][]>;
const textOf = (outputs: Output[] | undefined) => (outputs ?? []).map(({ text }) => text ?? "").join("");

it("training-loop: a tensor, its gradient, twenty steps of a tiny model in one display", async () => {
  const [gradient, model, steps] = await book("training-loop");
  expect(textOf(gradient)).toContain("y 14 dy/dx [ 2, 4, 6 ]");
  expect(textOf(model)).toContain("total: 21696, trainable: 21696");
  const displays = steps?.filter((output) => "text/plain" in output);
  expect(displays).toHaveLength(1);
  expect(displays?.[0]?.["text/plain"]).toMatch(/^step 20: loss \d/);
  const [before, after] = (/(\S+) -> (\S+),/.exec(textOf(steps)) ?? []).slice(1).map(Number);
  expect(before).toBeCloseTo(Math.log(96), 0);
  expect(after).toBeLessThan(before as number);
});

it("quick-start: a run in one display, its curve, and what the model writes", async () => {
  const [, before, run, picture, after] = await book("quick-start");
  expect(textOf(before)).toContain("春江潮水");
  const shown = run?.filter((output) => "text/html" in output) ?? [];
  expect(shown).toHaveLength(1);
  expect(shown[0]?.["text/html"]).toContain("finished after 30 steps");
  expect(shown[0]?.["text/html"]).toContain('<progress max="30" value="30"');
  expect(textOf(run)).toContain("finished 30");
  expect(
    Buffer.from(picture?.[0]?.["image/png"] ?? "", "base64")
      .subarray(1, 4)
      .toString(),
  ).toBe("PNG");
  expect(textOf(after)).not.toBe(textOf(before));
});

it("incremental-pretraining: prose gains, in a table and in a score", async () => {
  const [, table, scores] = await book("incremental-pretraining");
  const change = Number(/prose_heldout<.*?>([-\d.]+) %/.exec(table?.[0]?.["text/html"] ?? "")?.[1]);
  expect(change).toBeLessThan(-5);
  const [before, after] = [...textOf(scores).matchAll(/(\d\.\d+) nats/g)].map(([, value]) => Number(value));
  expect(after).toBeLessThan(before as number);
});

it("an interrupted kernel saves, and the cell run again goes on", async () => {
  const code = `
import * as tslab from "tslab";
import { trainInCell } from "qwen-pt/notebook";
await trainInCell(tslab.newDisplay(), {
  model_name_or_path: ${JSON.stringify(path.join(root, "examples/model"))}, dataset: "prose", stage: "pt",
  dataset_dir: ${JSON.stringify(path.join(root, "examples/data"))}, output_dir: "saves/stopped", cutoff_len: 32,
  max_steps: 100000, save_strategy: "no",
});`;
  const file = path.join(room.dir, "cell.ts");
  writeFileSync(file, code);
  const [first, second] = (await python("--interrupt", file, room.dir)) as [string, string];
  const steps = (shown: string) => Number(/interrupted after (\d+) steps/.exec(shown)?.[1]);
  expect(steps(first)).toBeGreaterThan(0);
  expect(steps(second)).toBeGreaterThan(steps(first));
  const saved = path.join(room.dir, "saves/stopped");
  expect(existsSync(path.join(saved, `checkpoint-${steps(second)}`))).toBe(true);
  expect(readdirSync(saved).filter((name) => name.startsWith("checkpoint-")).length).toBeGreaterThan(0);
});

// An installation without the optional packages (npm install --omit=optional): it trains, scores and says what it
// leaves out.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-optional-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function node(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const without = path.join(root, "test", "fixtures", "without-packages.mjs");
  const env = {
    ...process.env,
    NODE_OPTIONS: `--import=${without}`,
    QWEN_PT_TEST_WITHOUT: "@resvg/resvg-js,tokenizers",
  };
  return spawnSync(process.execPath, args, { cwd: root, env, encoding: "utf8" });
}

let run: ReturnType<typeof node>;
beforeAll(() => {
  const keys = [
    "model_name_or_path=examples/model",
    `output_dir=${folder}`,
    "max_steps=2",
    "logging_steps=1",
    "cutoff_len=64",
    "max_samples=8",
    "forgetting_report=true",
    "forgetting_dataset=poetry_heldout",
    "forgetting_samples=4",
    "use_cpu=true",
  ];
  run = node("dist/cli/main.js", "train", "examples/recipe.yaml", ...keys);
}, 120_000);

it("trains and writes everything but the pictures", () => {
  expect([run.status, run.stderr.includes("Error")]).toEqual([0, false]);
  const files = readdirSync(folder);
  expect(files).toEqual(expect.arrayContaining(["adapter_model.safetensors", "forgetting_report.json"]));
  expect(files.filter((name) => name.endsWith(".png"))).toEqual([]);
});

it("says what is missing and how to add it", () => {
  expect(run.stdout + run.stderr).toContain("npm install @resvg/resvg-js adds it");
});

it("refuses a picture that a program asks for in one line", () => {
  const program = `import("qwen-pt/notebook").then(({ drawCurve }) => drawCurve({ title: "a", label: "b", steps: [1], values: [1] }))
    .catch(({ name, message }) => console.log(name, message))`;
  expect(node("-e", program).stdout).toMatch(/^UserError no picture is drawn: .* adds it\n$/);
});

// Runs once before all tests: the reference Python (transformers, PEFT) that numbers are compared with.
// It does not build the addon: `npm test` does that first.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export default function setup(): void {
  const script = fileURLToPath(new URL("../../scripts/checks/reference.mjs", import.meta.url));
  const made = spawnSync(process.execPath, [script], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (made.status !== 0) throw new Error("the reference Python is missing: the line above says why");
  process.env.QWEN_PT_REFERENCE_PYTHON = made.stdout.trim();
}

// examples/notebook.ipynb, run by Jupyter's nbclient with the tslab kernel: every cell compiles and runs.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { installed, root } from "./room.js";

const RUN = `import json, sys
import nbformat
from nbclient import NotebookClient

book = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(book, kernel_name="tslab", timeout=100, resources={"metadata": {"path": sys.argv[2]}}).execute()
print(json.dumps(["".join(out.get("text", "") for out in cell.outputs) for cell in book.cells if cell.cell_type == "code"]))
`;

let room: ReturnType<typeof installed>;
beforeAll(() => {
  room = installed();
  const kernel = path.join(room.dir, "jupyter/kernels/tslab");
  mkdirSync(kernel, { recursive: true });
  const tslab = path.join(root, "node_modules/tslab/bin/tslab");
  const argv = [process.execPath, tslab, "kernel", "--config-path", "{connection_file}"];
  const spec = { argv, display_name: "TypeScript", language: "typescript" };
  writeFileSync(path.join(kernel, "kernel.json"), JSON.stringify(spec));
});
afterAll(() => room?.remove());

it("runs in tslab: a tensor, its gradient, two steps of a tiny model", () => {
  writeFileSync(path.join(room.dir, "run.py"), RUN);
  const args = ["run.py", path.join(root, "examples/notebook.ipynb"), room.dir];
  const out = execFileSync(process.env.QWEN_PT_REFERENCE_PYTHON!, args, {
    cwd: room.dir,
    env: {
      ...room.env,
      JUPYTER_PATH: path.join(room.dir, "jupyter"),
      JUPYTER_RUNTIME_DIR: path.join(room.dir, "run"),
      JUPYTER_PLATFORM_DIRS: "1",
      IPYTHONDIR: room.dir,
    },
    encoding: "utf8",
  });
  const [gradient, model, steps] = JSON.parse(out) as string[];
  expect(gradient).toContain("y 14 dy/dx [ 2, 4, 6 ]");
  expect(model).toContain("total: 21696, trainable: 21696");
  const [before, after] = steps!.trim().split(" -> ").map(Number);
  expect(before).toBeCloseTo(Math.log(96), 0);
  expect(after).toBeLessThan(before!);
});

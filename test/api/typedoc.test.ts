// The API's pages: typedoc reads every public name without an error.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { expect, it } from "vitest";
import { root } from "./room.js";

it("typedoc makes the API's pages without an error", () => {
  const typedoc = path.join(root, "node_modules/typedoc/bin/typedoc");
  const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, "--emit", "none"], {
    cwd: root,
    encoding: "utf8",
  });
  expect(`${stdout}${stderr}`).not.toMatch(/\[error\]/);
  expect(status).toBe(0);
});

// The API's pages: typedoc reads every public name, and finds all that a page refers to.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { expect, it } from "vitest";
import { root } from "./room.js";

it("typedoc makes the API's pages without an error or a warning", () => {
  const typedoc = path.join(root, "node_modules/typedoc/bin/typedoc");
  const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, "--emit", "none"], {
    cwd: root,
    encoding: "utf8",
  });
  const said = `${stdout}${stderr}`.split("\n").filter((line) => /\[(?:error|warning)\]/.test(line));
  // of a clone without an address, and the line that counts it
  const count = said.filter((line) => line.includes("git remote")).length;
  const others = said.filter(
    (line) => !line.includes("git remote") && !line.includes(`Found 0 errors and ${count} warning`),
  );
  expect(others).toEqual([]);
  expect(status).toBe(0);
});

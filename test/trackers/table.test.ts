// The one table of trackers, and what each of its words stands for.
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { resolveRecipe } from "../../lib/config/index.js";
import { BUILT_IN_TRACKERS } from "../../lib/config/values/tracker-names.js";
import { trackersOf } from "../../lib/trackers/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const named = (kind: string) =>
  Object.entries(BUILT_IN_TRACKERS)
    .filter(([, own]) => own === kind)
    .map(([name]) => name);

it("every tracker of this package makes itself for a recipe that names it", async () => {
  expect(named("file")).toContain("tensorboard");
  for (const name of named("file")) {
    const { recipe } = resolveRecipe({
      model_name_or_path: "m",
      dataset: "d",
      output_dir: "o",
      stage: "pt",
      do_train: true,
      report_to: name,
    });
    expect((await trackersOf(recipe)).map((tracker) => tracker.name)).toEqual([name]);
  }
});

it("every Python client is a class of the bridge, and the bridge has no other", () => {
  const bridge = readFileSync(path.join(root, "assets", "tracker_bridge.py"), "utf8");
  const table = /^CLIENTS = \{(.+)\}$/m.exec(bridge)?.[1] ?? "";
  expect([...table.matchAll(/"(\w+)":/g)].map(([, name]) => name).sort()).toEqual(named("client").sort());
});

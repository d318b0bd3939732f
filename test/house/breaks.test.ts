// `npm run breaks` takes minutes and runs by hand: that what it breaks is still there is seen here.
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { BREAKS } from "../../scripts/checks/breaks.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

it.each(BREAKS.map(([name, file, from]: string[]) => ({ name, file, from })))(
  "$name: $file",
  ({ file, from }) => {
    const text = readFileSync(path.join(root, file as string), "utf8");
    expect(text.split(from as string)).toHaveLength(2);
  },
);

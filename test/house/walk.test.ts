// docs/architecture.md's walk from the command line to the optimizer: at most nine files, all there, and each names the
// next one that the reader opens.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(path.join(root, "docs", "architecture.md"), "utf8");
const start = page.indexOf("## From the command line to the optimizer");
const section = page.slice(start, page.indexOf("\n## ", start + 1));
const walk = [...section.matchAll(/^\d+\. `(lib\/[\w/-]+\.ts)`/gm)].map((match) => match[1] as string);

describe("the walk from the command line to the optimizer", () => {
  it("takes at most nine files, from main.ts to the optimizer's step", () => {
    expect(walk.length).toBeGreaterThan(5);
    expect(walk.length).toBeLessThanOrEqual(9);
    expect([walk[0], walk.at(-1)]).toEqual(["lib/cli/main.ts", "lib/train/loop/optimizer-step.ts"]);
  });

  it("names files that are there", () => {
    expect(walk.filter((name) => !existsSync(path.join(root, name)))).toEqual([]);
  });

  it("goes from each file to one that an earlier one loads", () => {
    const stems = walk.map((name) => path.basename(name, ".ts"));
    const texts = walk.map((name) => readFileSync(path.join(root, name), "utf8"));
    // commands.ts's table stands between the dispatcher and a command; train.ts's folder has an index
    const loads = (text: string, stem: string) => new RegExp(`/(${stem}|table|index)\\.js"`).test(text);
    const lost = stems
      .slice(1)
      .filter((stem, at) => !texts.slice(0, at + 1).some((text) => loads(text, stem)));
    expect(lost).toEqual([]);
  });
});

describe("what a reader opens on the way", () => {
  /** Lines of each function of a file that begins in its first column, from its first line to its closing brace. */
  const functionsOf = (name: string) => {
    const lines = readFileSync(path.join(root, name), "utf8").split("\n");
    return lines.flatMap((line, at) => {
      const found = /^(?:export )?(?:async )?function (\w+)/.exec(line);
      return found ? [[found[1] as string, lines.indexOf("}", at) - at + 1] as const] : [];
    });
  };

  it("is a trainer of at most 200 lines, and what it is made of in another file", () => {
    const lines = readFileSync(path.join(root, "lib/train/loop/trainer.ts"), "utf8").trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(200);
  });

  it.each(["lib/train/setup/prepare.ts", "lib/train/loop/trainer-parts.ts"])(
    "%s has no function of more than 50 lines",
    (name) => {
      const functions = functionsOf(name);
      expect(functions.length).toBeGreaterThan(1);
      expect(functions.filter(([, lines]) => lines > 50)).toEqual([]);
    },
  );
});

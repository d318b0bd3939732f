// What preparing a run leaves behind, given back.
import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../lib/data/index.js";
import { releaseMemory } from "../../../lib/train/setup/free-memory.js";
import { prepare } from "../../../lib/train/setup/prepare.js";
import { fixture, folder, loaded } from "../runs.js";

describe("memory that is given back", () => {
  it("garbage", async () => {
    const used = (): number => process.memoryUsage().heapUsed / 2 ** 20;
    await releaseMemory();
    const before = used();
    const most = ((): number => {
      const held = Array.from({ length: 400_000 }, (_, i) => ({ text: `token ${i}` }));
      return used() - before + 0 * held.length;
    })();
    await releaseMemory();
    expect(most).toBeGreaterThan(20);
    expect(used() - before).toBeLessThan(most / 4);
  });

  it("leaves no function called gc in contexts made afterwards", async () => {
    await releaseMemory();
    const { runInNewContext } = await import("node:vm");
    expect(runInNewContext("typeof gc")).toBe("undefined");
  });

  it("a prepared run's tokenizer is not at work, unless it streams", async () => {
    const tokenizerOf = async (keys: object) => {
      const { tokenizer } = await prepare(loaded({ ...keys, output_dir: folder() }), () => {});
      return tokenizer.isAtWork;
    };
    expect(await tokenizerOf({})).toBe(false);
    expect(await tokenizerOf({ streaming: true, max_steps: 2, max_samples: null })).toBe(true);
    const tokenizer = await loadTokenizer(fixture("model"));
    expect(tokenizer.isAtWork).toBe(true);
    await tokenizer.release();
    expect(tokenizer.isAtWork).toBe(false);
    await tokenizer.encode("again");
    expect(tokenizer.isAtWork).toBe(true);
  });
});

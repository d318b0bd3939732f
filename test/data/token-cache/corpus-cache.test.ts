// The cache of tokens: a second run takes what the first has tokenized, as long as nothing that decides the tokens has
// changed; what is damaged is made again; what cannot be kept stops nobody.

import { spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type DataRecipe,
  loadTokenizer,
  prepareTrainingData,
  type Tokenizer,
} from "../../../lib/data/index.js";
import { FileRecords } from "../../../lib/data/token-cache/file-records.js";
import { cacheSettings } from "../../../lib/data/token-cache/settings.js";
import { keepWithin } from "../../../lib/data/token-cache/space.js";
import { allBlocks, digest, FIXTURES } from "../blocks/laid-blocks.js";

let dir: string;
let tokenizer: Tokenizer;
/** Texts that were tokenized since the last `run`. */
let encoded = 0;
const tokens = () => path.join(dir, "cache", "tokens");

beforeEach(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-tokens-test-"));
  cpSync(path.join(FIXTURES, "corpus"), path.join(dir, "corpus"), { recursive: true });
  vi.stubEnv("QWEN_PT_CACHE", path.join(dir, "cache"));
  vi.stubEnv("QWEN_PT_TOKEN_CACHE", "");
  tokenizer = counting(await loadTokenizer(path.join(FIXTURES, "tokenizer")));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

function counting(given: Tokenizer): Tokenizer {
  const encodeBatch = (texts: readonly string[]) => {
    encoded += texts.length;
    return given.encodeBatch(texts);
  };
  return { ...given, encodeBatch };
}

async function run(recipe: Partial<DataRecipe> = {}, by = tokenizer) {
  encoded = 0;
  const given = { dataset: "main", dataset_dir: path.join(dir, "corpus"), cutoff_len: 32, packing: true };
  const data = await prepareTrainingData({ ...given, ...recipe }, by);
  const sets = [data.blocks, ...data.evaluation.map(({ blocks }) => blocks)];
  const { notes, warnings, summary } = data;
  return { encoded, notes, warnings, summary, hash: sets.map((blocks) => digest(allBlocks(blocks))) };
}

const entries = () => readdirSync(tokens()).filter((name) => /^[0-9a-f]{32}$/.test(name));
const left = () => readdirSync(tokens()).filter((name) => name.startsWith("."));

describe("the second run", () => {
  const MIXED: Record<string, Partial<DataRecipe>> = {
    packed: {},
    "one by one": { packing: false },
    "held out": { val_size: 0.3 },
    interleaved: { dataset: "main,other", mix_strategy: "interleave_over", interleave_probs: [0.5, 0.5] },
    drawn: { dataset: "few,other", max_samples: 9 },
    evaluated: { eval_dataset: "other,third", eval_on_each_dataset: true },
    "the first rows": { max_samples: 7 },
  };
  for (const [name, recipe] of Object.entries(MIXED)) {
    it(`tokenizes nothing, and has the same blocks: ${name}`, async () => {
      vi.stubEnv("QWEN_PT_TOKEN_CACHE", "off");
      const without = await run(recipe);
      expect(without.notes).toEqual([]);
      expect(existsSync(tokens())).toBe(false);
      vi.stubEnv("QWEN_PT_TOKEN_CACHE", "1 GB");
      const first = await run(recipe);
      const second = await run(recipe);
      expect(first.encoded).toBe(without.encoded);
      expect(second.encoded).toBe(0);
      expect([first.hash, second.hash]).toEqual([without.hash, without.hash]);
      expect(second.summary).toEqual(without.summary);
      expect(first.notes[0]).toMatch(
        /^dataset: \w+: [\d,]+ tokens of [\d,]+ documents kept in the cache for the next run \(/,
      );
      expect(second.notes[0]).toMatch(
        /^dataset: \w+: [\d,]+ tokens of [\d,]+ documents taken from the cache \(/,
      );
      expect(second.warnings).toEqual([]);
      expect(left()).toEqual([]);
    });
  }

  it("packs, mixes and splits what it takes again", async () => {
    await run();
    for (const change of [
      { cutoff_len: 17 },
      { packing: false },
      { val_size: 4 },
      { seed: 7, val_size: 4 },
      { neat_packing: true },
    ])
      expect((await run(change)).encoded).toBe(0);
    expect(entries().length).toBe(1);
  });

  it("takes the same content under another name", async () => {
    const first = await run();
    cpSync(path.join(dir, "corpus"), path.join(dir, "other place"), { recursive: true });
    const second = await run({ dataset_dir: path.join(dir, "other place") });
    expect(second.encoded).toBe(0);
    expect(second.hash).toEqual(first.hash);
  });
});

describe("what decides the tokens decides the entry", () => {
  it("a file's content, also where its size and its time stay", async () => {
    await run();
    const file = path.join(
      dir,
      "corpus",
      JSON.parse(readFileSync(path.join(dir, "corpus/dataset_info.json"), "utf8")).main.file_name,
    );
    const { mtime, atime, size } = statSync(file);
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("return a + b", "return a - b"));
    utimesSync(file, atime, mtime);
    expect([statSync(file).size, readFileSync(file, "utf8") === text]).toEqual([size, false]);
    expect((await run()).encoded).toBeGreaterThan(0);
    writeFileSync(file, text);
    expect((await run()).encoded).toBe(0);
  });

  it("the tokenizer, the end of a document, the tag, the rows", async () => {
    await run();
    const others: [Partial<DataRecipe>, Tokenizer?][] = [
      [{}, counting(await loadTokenizer(path.join(FIXTURES, "tokenizer"), { addTokens: ["abc"] }))],
      [{ template: "llama3" }],
      [{ language_tag: { main: "[lang=en]" } as never }],
      [{ max_samples: 5 }],
      [{ max_samples: 6 }],
    ];
    for (const [recipe, by] of others) {
      expect((await run(recipe, by)).encoded).toBeGreaterThan(0);
      expect((await run(recipe, by)).encoded).toBe(0);
    }
    expect(entries().length).toBe(1 + others.length);
  });

  it("overwrite_cache makes it again; tokenized_path has no need of it", async () => {
    const first = await run();
    const again = await run({ overwrite_cache: true });
    expect([again.encoded, again.hash]).toEqual([first.encoded, first.hash]);
    expect((await run()).encoded).toBe(0);
    expect((await run({ tokenized_path: path.join(dir, "blocks") })).encoded).toBe(first.encoded);
    expect(entries().length).toBe(1);
  });
});

describe("a damaged entry is made again, with a warning", () => {
  const damages: Record<string, (place: string) => void> = {
    "cut short": (place) => truncateSync(path.join(place, "ids.i32"), 400),
    "longer than it was": (place) => appendFileSync(path.join(place, "lengths.i32"), "more"),
    "another byte": (place) => {
      const bytes = readFileSync(path.join(place, "ids.i32"));
      bytes[100]! ^= 1;
      writeFileSync(path.join(place, "ids.i32"), bytes);
    },
    "half a description": (place) => truncateSync(path.join(place, "entry.json"), 20),
    "no ids": (place) => rmSync(path.join(place, "ids.i32")),
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(what, async () => {
      const first = await run();
      damage(path.join(tokens(), entries()[0]!));
      const second = await run();
      expect([second.encoded, second.hash]).toEqual([first.encoded, first.hash]);
      expect(second.warnings).toEqual([
        expect.stringMatching(/^the cache of tokens: .* is damaged \(.*\); it is rebuilt$/),
      ]);
      const third = await run();
      expect([third.encoded, third.warnings, third.hash]).toEqual([0, [], first.hash]);
    });
  }
});

describe("what cannot be kept stops nobody", () => {
  it("a cache in the place of a file", async () => {
    writeFileSync(path.join(dir, "cache"), "");
    const { encoded: count, warnings, hash } = await run();
    expect(count).toBeGreaterThan(0);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^the cache of tokens cannot be written \(.*\); the run goes on without it, and the next one tokenizes again$/,
      ),
    ]);
    rmSync(path.join(dir, "cache"));
    expect((await run()).hash).toEqual(hash);
  });

  it.skipIf(process.getuid?.() === 0)("a folder that is for reading only", async () => {
    mkdirSync(tokens(), { recursive: true });
    chmodSync(tokens(), 0o500);
    const { warnings } = await run();
    chmodSync(tokens(), 0o700);
    expect(warnings).toEqual([expect.stringMatching(/cannot be written/)]);
  });

  it.skipIf(process.platform === "win32")(
    "a disk that is full half-way: the rest stays in memory",
    async () => {
      large();
      const { hash } = await run();
      rmSync(tokens(), { recursive: true });
      const limited = `ulimit -f 300; exec "$0" "$@"`; // KiB a file: one chunk of ids, and not the second
      const said = JSON.parse(await output(SCRIPT, "bash", ["-c", limited])) as {
        hash: string;
        warnings: string[];
      };
      expect(said.warnings).toEqual([
        expect.stringMatching(/cannot be written \(EFBIG.*the run goes on without it/),
      ]);
      expect([said.hash]).toEqual(hash);
      expect([entries(), left()]).toEqual([[], []]);
    },
  );

  it("tokens beyond the limit", async () => {
    vi.stubEnv("QWEN_PT_TOKEN_CACHE", "1K");
    const { notes } = await run();
    expect(notes).toEqual([
      expect.stringMatching(
        /more than the cache's limit of .*, and are not kept; QWEN_PT_TOKEN_CACHE raises it/,
      ),
    ]);
    expect([entries(), left()]).toEqual([[], []]);
  });

  it("a defect in the corpus leaves nothing behind", async () => {
    const file = path.join(dir, "corpus/broken.jsonl");
    writeFileSync(file, '{"text": "one"}\n{"text": \n');
    writeFileSync(
      path.join(dir, "corpus/dataset_info.json"),
      JSON.stringify({ main: { file_name: "broken.jsonl", columns: { prompt: "text" } } }),
    );
    await expect(run()).rejects.toThrow(/broken\.jsonl:3: malformed JSON \(it ends in the middle/);
    expect([entries(), left()]).toEqual([[], []]);
  });
});

describe("the limit", () => {
  it("is a size, or off", () => {
    const limit = (value: string) => cacheSettings({ QWEN_PT_TOKEN_CACHE: value })?.limit;
    expect(["", "5GB", "1.5 g", "300M", "123", "off", "0"].map(limit)).toEqual([
      20e9,
      5e9,
      1.5e9,
      3e8,
      123,
      undefined,
      undefined,
    ]);
    expect(() => limit("much")).toThrow(
      /^QWEN_PT_TOKEN_CACHE: expected a size such as 5GB, or off, received "much"$/,
    );
  });

  it("is kept by removing what was not used for longest", async () => {
    for (const max_samples of [3, 4, 5]) await run({ max_samples });
    const used = (name: string) => statSync(path.join(tokens(), name, "entry.json")).mtimeMs;
    for (const [i, name] of entries().entries())
      utimesSync(path.join(tokens(), name, "entry.json"), 1000 + i, 1000 + i);
    const [oldest, ...others] = entries().sort((a, b) => used(a) - used(b));
    const sizes = others.map((name) =>
      readdirSync(path.join(tokens(), name)).reduce(
        (sum, file) => sum + statSync(path.join(tokens(), name, file)).size,
        0,
      ),
    );
    keepWithin(tokens(), sizes[0]! + sizes[1]!, others[1]!);
    expect(entries().sort()).toEqual([...others].sort());
    keepWithin(tokens(), 0, oldest!);
    expect(entries()).toEqual([]);
  });

  it("takes what killed processes left with it, and leaves what is being made", async () => {
    await run();
    const old = path.join(tokens(), `.${"0".repeat(32)}.1.tmp`);
    mkdirSync(old);
    writeFileSync(path.join(old, "ids.i32"), "1234");
    const young = path.join(tokens(), `.${"1".repeat(32)}.1.tmp`);
    cpSync(old, young, { recursive: true });
    for (const place of [path.join(old, "ids.i32"), old]) utimesSync(place, 1000, 1000);
    await run({ max_samples: 9 });
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
  });
});

it("a file's record is good for as long as the file stays the same", async () => {
  const records = new FileRecords(path.join(dir, "records"));
  const file = path.join(dir, "corpus/dataset_info.json");
  await records.digest(file);
  // it was written a moment ago: it might change again within the same tick of the clock
  expect(existsSync(path.join(dir, "records"))).toBe(false);
  vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ["Date"] });
  try {
    const digest = await records.digest(file);
    const [record] = readdirSync(path.join(dir, "records"));
    const place = path.join(dir, "records", record!);
    writeFileSync(place, readFileSync(place, "utf8").replace(digest, "f".repeat(64)));
    expect(await records.digest(file)).toBe("f".repeat(64)); // on record, and not read again
    let counts = 0;
    const count = async () => ++counts;
    expect([await records.rows(file, count), await records.rows(file, count)]).toEqual([1, 1]);
    appendFileSync(file, " ");
    expect(await records.digest(file)).not.toBe("f".repeat(64));
    expect(await records.rows(file, count)).toBe(2);
    writeFileSync(place, "half of a rec");
    expect(await records.rows(file, count)).toBe(3);
  } finally {
    vi.useRealTimers();
  }
});

/** A corpus of some hundred thousand tokens in place of the fixture's. */
function large(): void {
  const rows = Array.from(
    { length: 3000 },
    (_, i) => `${JSON.stringify({ text: `row ${i} `.repeat(20) })}\n`,
  );
  writeFileSync(path.join(dir, "corpus/large.jsonl"), rows.join(""));
  const info = { main: { file_name: "large.jsonl", columns: { prompt: "text" } } };
  writeFileSync(path.join(dir, "corpus/dataset_info.json"), JSON.stringify(info));
}

it("of several processes one tokenizes, and the others take its tokens", async () => {
  large();
  const said = await Promise.all([0, 1, 2].map(() => output(SCRIPT)));
  expect(said.filter((text) => text.includes("kept in the cache")).length).toBe(1);
  expect(said.filter((text) => text.includes("taken from the cache")).length).toBe(2);
  expect(left()).toEqual([]);
});

const SCRIPT = `
  import { createHash } from "node:crypto";
  import { loadTokenizer, prepareTrainingData } from ${JSON.stringify(new URL("../../../dist/data/index.js", import.meta.url).href)};
  const tokenizer = await loadTokenizer(${JSON.stringify(path.join(FIXTURES, "tokenizer"))});
  const recipe = { dataset: "main", dataset_dir: process.env.CORPUS, cutoff_len: 32, packing: true };
  const { blocks, notes, warnings } = await prepareTrainingData(recipe, tokenizer);
  const all = Array.from({ length: blocks.length }, (_, i) => blocks.get(i).join(",")).join("\\n");
  console.log(JSON.stringify({ notes, warnings, hash: createHash("sha256").update(all).digest("hex") }));`;

/** What a separate process says. */
function output(script: string, shell?: string, before: string[] = []): Promise<string> {
  const own = [process.execPath, "--input-type=module", "-e", script];
  const [command, ...args] = shell === undefined ? own : [shell, ...before, ...own];
  const env = { ...process.env, CORPUS: path.join(dir, "corpus") };
  const child = spawn(command!, args, { stdio: ["ignore", "pipe", "inherit"], env });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  return new Promise((resolve) => child.on("close", () => resolve(text)));
}

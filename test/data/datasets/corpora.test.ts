// The registry of corpora: LLaMA-Factory's parser reads the same file to the same meaning, and excerpts in each set's
// own format give the blocks that it makes of them (test/fixtures/data/make_corpora.py). The page shows the file.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { run } from "../../../lib/cli/commands/corpora.js";
import type { Host } from "../../../lib/cli/terminal/host.js";
import { corporaTable, readCorpora } from "../../../lib/data/datasets/corpora.js";
import {
  type HubSource,
  loadTokenizer,
  prepareTrainingData,
  readDatasetInfo,
  type Tokenizer,
} from "../../../lib/data/index.js";

const ROOT = path.join(import.meta.dirname, "../../..");
const REGISTRY = path.join(ROOT, "examples/data");
const FIXTURES = path.join(ROOT, "test/fixtures/data");
const EXCERPTS = path.join(FIXTURES, "corpora");

interface Parsed {
  load_from: string;
  dataset_name: string;
  subset: string | null;
  split: string;
  folder: string | null;
  formatting: string;
  prompt: string | null;
  query: string | null;
}
interface Blocks {
  recipe: { dataset: string; cutoff_len: number; packing: boolean };
  blocks: number;
  sha256: string;
}
const fixture = JSON.parse(readFileSync(path.join(FIXTURES, "corpora.json"), "utf8")) as {
  parsed: Record<string, Parsed>;
  blocks: Record<string, Blocks>;
};

const corpora = readCorpora(REGISTRY);

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});

async function digestOf(dir: string, name: string, hub?: Parameters<typeof prepareTrainingData>[2]) {
  const { recipe } = fixture.blocks[name]!;
  const { blocks } = await prepareTrainingData({ ...recipe, dataset_dir: dir }, tokenizer, hub);
  const text = Array.from({ length: blocks.length }, (_, i) => blocks.get(i).join(",")).join("\n");
  return createHash("sha256").update(text).digest("hex");
}

describe("the registry", () => {
  it("knows the sets by name, each with size, license and a line", () => {
    expect(corpora.map(({ name }) => name)).toEqual(Object.keys(fixture.parsed));
    for (const part of ["firefly", "wudao", "skypile", "wikipedia_zh", "wikipedia_en", "fineweb_edu", "cci3"])
      expect(corpora.some(({ name }) => name.startsWith(part))).toBe(true);
    for (const corpus of corpora)
      for (const text of [corpus.about, corpus.size, corpus.license]) expect(text).toMatch(/^[^\n|]{4,}$/);
  });

  it("is read by LLaMA-Factory's parser to the same meaning", () => {
    for (const { name } of corpora) {
      const theirs = fixture.parsed[name]!;
      if (theirs.load_from === "file") continue;
      const [ours] = readDatasetInfo(REGISTRY, [name]);
      expect(ours).toMatchObject({
        files: [],
        numSamples: undefined,
        source: {
          hub: theirs.load_from === "ms_hub" ? "modelscope" : "huggingface",
          repo: theirs.dataset_name,
          subset: theirs.subset ?? undefined,
          folder: theirs.folder ?? undefined,
          split: theirs.split,
        },
        columns: { formatting: theirs.formatting, prompt: theirs.prompt },
      });
      expect("query" in ours!.columns ? ours!.columns.query : null).toBe(theirs.query);
    }
  });
});

describe("an excerpt in the set's own format gives LLaMA-Factory's blocks", () => {
  for (const { name } of corpora) {
    it(name, async () => {
      expect(fixture.blocks[name]!.blocks).toBeGreaterThan(10);
      expect(await digestOf(EXCERPTS, name)).toBe(fixture.blocks[name]!.sha256);
    });
  }

  it("also by way of a hub, which is asked for what the entry says", async () => {
    const asked: [HubSource, string][] = [];
    const hub = {
      modelScope: false,
      async files(source: HubSource, dataset: string) {
        asked.push([source, dataset]);
        return readDatasetInfo(EXCERPTS, [dataset])[0]!.files;
      },
    };
    for (const name of ["wikipedia_zh_2023", "wudao"])
      expect(await digestOf(REGISTRY, name, { hub })).toBe(fixture.blocks[name]!.sha256);
    const plain = { hub: "huggingface", subset: undefined, folder: undefined, split: "train" };
    expect(asked).toEqual([
      [{ ...plain, repo: "wikimedia/wikipedia", subset: "20231101.zh" }, "wikipedia_zh_2023"],
      [{ ...plain, repo: "p208p2002/wudao" }, "wudao"],
    ]);
  });

  it("and without a hub the way out is said", async () => {
    await expect(digestOf(REGISTRY, "skypile")).rejects.toThrow(
      /^Skywork\/SkyPile-150B is on a hub, and fetching is not available here; download its files and name them/,
    );
    await expect(digestOf(REGISTRY, "wudao_200g")).rejects.toThrow(
      /WuDaoCorpus2\.0_base_200G does not exist/,
    );
  });
});

describe("what is shown of it", () => {
  it("docs/corpora.md has the table (node scripts/generate/corpora-docs.mjs writes it)", () => {
    const page = readFileSync(path.join(ROOT, "docs/corpora.md"), "utf8");
    expect(page).toContain(`<!-- table -->\n${corporaTable(corpora)}\n<!-- end -->`);
  });

  it("qwen-pt corpora lists it, and refuses what it does not understand", async () => {
    let out = "";
    const host = { out: { write: (text: string) => (out += text) } } as unknown as Host;
    expect(await run([], host)).toBe(0);
    for (const { name, size, license } of corpora)
      for (const text of [name, size, license]) expect(out).toContain(text);
    expect(out).toContain("Hugging Face wikimedia/wikipedia, subset 20231101.zh; text in text");
    expect(out).toContain("text in title + content");
    await expect(run(["--all"], host)).rejects.toThrow(/corpora takes one folder at most/);
    await expect(run(["nowhere"], host)).rejects.toThrow(/nowhere\/dataset_info\.json: cannot be read /);
  });
});

// Datasets by the name of their repository. Which files are meant is what the Python library `datasets` says
// (fixtures/hub/data_files.json, made by make_data_files.py beside it).
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { dataFiles } from "../../lib/hub/data-files.js";
import { type DatasetSource, datasetFetcher } from "../../lib/hub/datasets.js";
import { failure, place } from "./room.js";

interface Layout {
  name: string;
  readme: string | null;
  files: string[];
  answers: {
    subset: string | null;
    folder: string | null;
    error?: string;
    splits?: Record<string, string[]>;
  }[];
}

const FIXTURE = fileURLToPath(new URL("../fixtures/hub/data_files.json", import.meta.url));
const layouts = JSON.parse(readFileSync(FIXTURE, "utf8")) as Layout[];
const cases = layouts.flatMap((layout) => layout.answers.map((answer) => ({ ...layout, ...answer })));

describe("the files of a subset, folder and split are those of `datasets`", () => {
  it.each(cases)(
    "$name, subset $subset, folder $folder",
    ({ readme, files, subset, folder, error, splits }) => {
      const wanted = { repo: "org/data", subset: subset ?? undefined, folder: folder ?? undefined };
      const paths = [...files, ...(readme === null ? [] : ["README.md"])];
      const ask = (split: string) => dataFiles(paths, readme ?? "", { ...wanted, split });
      if (error !== undefined) {
        expect(() => ask("train")).toThrow(/^org\/data: .*(has|name a subset|no data files)/);
        return;
      }
      for (const [split, expected] of Object.entries(splits ?? {})) {
        expect(ask(split)).toEqual(expected.map((file) => file.replace(/^\.\//, "")));
      }
      expect(() => ask("absent")).toThrow(`it has: `);
    },
  );

  const wanted = { repo: "org/data", subset: undefined, folder: undefined };
  it("two splits are joined, and parts of one refused", () => {
    const paths = ["train.csv", "test.csv"];
    expect(dataFiles(paths, "", { ...wanted, split: "train+test" })).toEqual(["train.csv", "test.csv"]);
    expect(() => dataFiles(paths, "", { ...wanted, split: "train[:10%]" })).toThrow(
      'org/data: split "train[:10%]": parts of a split are not cut here',
    );
  });

  it.each([
    [["a.tar", "b.tar"], "", "its data are .tar files"],
    [["loader.py", "notes.md"], "", "has no data files that can be read"],
    [["a.csv"], "---\nconfigs: [\n---\n", "its front matter is no YAML"],
  ])("%j is refused in a line", (paths, readme, expected) => {
    expect(() => dataFiles(paths, readme, { ...wanted, split: "train" })).toThrow(expected);
  });
});

describe("fetching", () => {
  const here = place();
  const source: DatasetSource = {
    hub: "huggingface",
    repo: "org/poems",
    subset: undefined,
    folder: undefined,
    split: "train",
  };
  const fetcher = () => datasetFetcher({ env: here.env, onEvent: (event) => here.events.push(event) });

  it("gives local paths in reading order, and nothing but what was asked for", async () => {
    here.hub.add(
      "datasets/org/poems",
      {
        "README.md": "---\nconfigs:\n- config_name: tang\n  data_files: tang/*.jsonl\n---\n",
        "tang/2.jsonl": '{"text": "two"}\n',
        "tang/1.jsonl": '{"text": "one"}\n',
        "song/1.jsonl": '{"text": "other"}\n',
      },
      ["tang/1.jsonl"],
    );
    const files = await fetcher().files({ ...source, subset: "tang" }, "poems");
    expect(files.map((file) => readFileSync(file, "utf8"))).toEqual([
      '{"text": "one"}\n',
      '{"text": "two"}\n',
    ]);
    expect(files[0]).toContain(path.join("hub", "datasets--org--poems", "snapshots"));
    expect(here.hub.downloads().some(({ url }) => url.includes("song"))).toBe(false);
    await here.hub.stop();
    expect(await fetcher().files({ ...source, subset: "tang" }, "poems")).toEqual(files);
    here.env.HF_HUB_OFFLINE = "1";
    expect(await fetcher().files({ ...source, subset: "tang" }, "poems")).toEqual(files);
  });

  it("offline, another folder than the one that was fetched is missed", async () => {
    here.hub.add("datasets/org/poems", { "a/x.jsonl": "{}", "b/x.jsonl": '{"y": 1}' });
    await fetcher().files({ ...source, folder: "a" }, "poems");
    here.env.HF_HUB_OFFLINE = "1";
    expect((await failure(fetcher().files({ ...source, folder: "b" }, "poems"))).message).toMatch(
      /^org\/poems: not in the cache \(.*datasets--org--poems\), or not whole, and HF_HUB_OFFLINE/,
    );
  });

  it("says what is wrong with a dataset as with a model", async () => {
    const { message } = await failure(fetcher().files(source, "poems"));
    expect(message).toMatch(/^org\/poems: there is no dataset of that name that may be read at http/);
    const gated = here.hub.add("datasets/org/poems", { "a.jsonl": "{}" });
    gated.access = { token: "hf_x", gated: true };
    const second = await failure(fetcher().files(source, "poems"));
    expect(second.message).toContain(`accept its licence at ${here.hub.endpoint}/datasets/org/poems`);
    const third = await failure(fetcher().files({ ...source, repo: "../x" }, "poems"));
    expect(third.message).toMatch(/^dataset: poems: \.\.\/x is no repository's name/);
  });
});

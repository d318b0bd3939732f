// The corpora that a dataset_info.json describes: entries with "about", "size" and "license" beside what
// LLaMA-Factory reads, which passes them over. For people to choose from; training does not read these notes.

import path from "node:path";
import { UserError } from "../../errors.js";
import { readJsonFile } from "../../files/json-file.js";
import { anything, nullable, table } from "../../files/shape.js";

/** A described corpus. */
export interface Corpus {
  /** The name that `dataset` takes. */
  readonly name: string;
  readonly about: string;
  readonly size: string;
  readonly license: string;
  /** Repository on Hugging Face, on ModelScope, or the file that the reader is to bring. */
  readonly huggingFace: string | undefined;
  readonly modelScope: string | undefined;
  readonly file: string | undefined;
  readonly subset: string | undefined;
  /** Columns of the text, in the order in which they are joined. */
  readonly columns: readonly string[];
}

/**
 * The described entries of `<dir>/dataset_info.json`, in its order.
 *
 * @throws UserError for a file that cannot be read, and an entry whose notes are not complete
 */
export function readCorpora(dir: string): Corpus[] {
  const file = path.join(dir, "dataset_info.json");
  const info = readJsonFile(file, table(nullable(table(anything))), {
    remedy: "name the folder that holds a good one",
  });
  return Object.entries(info).flatMap(([name, entry]) =>
    entry?.["about"] === undefined ? [] : [corpusOf(`${file}: ${name}`, name, entry)],
  );
}

function corpusOf(where: string, name: string, entry: Record<string, unknown>): Corpus {
  const note = (key: "about" | "size" | "license"): string => {
    const value = entry[key];
    if (typeof value === "string" && value !== "") return value;
    throw new UserError(`${where}: an entry with "about" needs a text for "${key}" too`);
  };
  const text = (key: string) => (typeof entry[key] === "string" ? (entry[key] as string) : undefined);
  const columns = (entry.columns ?? {}) as Record<string, unknown>;
  return {
    name,
    about: note("about"),
    size: note("size"),
    license: note("license"),
    huggingFace: text("hf_hub_url"),
    modelScope: text("ms_hub_url"),
    file: text("file_name"),
    subset: text("subset"),
    columns: [columns.prompt, columns.query].filter((column) => typeof column === "string"),
  };
}

/** A corpus in a few lines, for a terminal. */
export function formatCorpus(corpus: Corpus): string {
  const { name, about, size, license, huggingFace, modelScope, file, subset, columns } = corpus;
  const from = [
    huggingFace && `Hugging Face ${huggingFace}`,
    modelScope && `ModelScope ${modelScope}`,
    file && `file ${file}`,
    subset && `subset ${subset}`,
  ];
  return [
    name,
    `  ${about}`,
    `  ${size}; license: ${license}`,
    `  ${from.filter(Boolean).join(", ")}; text in ${columns.join(" + ")}`,
  ].join("\n");
}

/** The corpora as a Markdown table, the one of docs/corpora.md. */
export function corporaTable(corpora: readonly Corpus[]): string {
  const rows = corpora.map(
    ({ name, about, size, license, huggingFace, modelScope, file, subset, columns }) => {
      const places = [
        huggingFace && `[${huggingFace}](https://huggingface.co/datasets/${huggingFace})`,
        modelScope && `ModelScope ${modelScope}`,
        file && `\`${file}\``,
        subset && `subset \`${subset}\``,
      ];
      const cells = [
        `\`${name}\``,
        about,
        size,
        license,
        places.filter(Boolean).join(", "),
        columns.map((c) => `\`${c}\``).join(" + "),
      ];
      return `| ${cells.join(" | ")} |`;
    },
  );
  const head = ["| Name | What it is | Size | License | Where | Text |", "|---|---|---|---|---|---|"];
  return [...head, ...rows].join("\n");
}

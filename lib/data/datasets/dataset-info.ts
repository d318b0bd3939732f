// dataset_info.json: which file or hub repository a dataset's name stands for and which of its columns hold the text.
// It opens no data and fetches nothing.

import { readFileSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../../errors.js";
import { isObject, parseJson } from "../../files/json.js";
import { isWholeFile, WHOLE_FILE_COLUMN, wholeFiles } from "../readers/whole-files.js";
import { type Columns, dateColumn, resolveColumns } from "./columns.js";
import { localFiles } from "./dataset-files.js";
import { entryTag } from "./language-tags.js";

const INFO_FILE = "dataset_info.json";

/** A dataset repository on a hub, and which of its files are meant. */
export interface HubSource {
  /** Which hub the repository is on. */
  readonly hub: "huggingface" | "modelscope";
  /** For instance "Skywork/SkyPile-150B". */
  readonly repo: string;
  /** The configuration, for instance "20231101.zh"; undefined for the repository's default. */
  readonly subset: string | undefined;
  /** A folder of the repository; its files are all that is read. */
  readonly folder: string | undefined;
  /** The split whose files are read, for instance "train". */
  readonly split: string;
}

/** One dataset, checked: its files, or the repository that they come from. */
export interface DatasetEntry {
  /** The name in the recipe and in dataset_info.json. */
  readonly name: string;
  /** Files in reading order; several where file_name is a folder; none where `source` is still to be fetched. */
  readonly files: readonly string[];
  /** Where the files come from; undefined for local ones. */
  readonly source?: HubSource;
  /** Which columns hold the text. */
  readonly columns: Columns;
  /** Rows to draw at random, in drawn order; undefined for all rows in file order. */
  readonly numSamples: number | undefined;
  /** Each file is one document, rather than rows. */
  readonly wholeFile?: boolean;
  /** The column of a document's date. */
  readonly dateColumn?: string | undefined;
  /** What stands in front of each document, such as [lang=zh-yue]. */
  readonly languageTag?: string | undefined;
}

/**
 * Looks names up in `<dir>/dataset_info.json`. With `dir` "ONLINE" every name is a repository on a hub. Keys of an entry
 * that LLaMA-Factory does not read, such as a licence or a size, are notes and skipped.
 *
 * @param modelScope whether ModelScope comes before Hugging Face where an entry names both (USE_MODELSCOPE_HUB)
 * @throws UserError for an unknown name, files that are not there or not readable, or a malformed entry
 */
export function readDatasetInfo(dir: string, names: readonly string[], modelScope = false): DatasetEntry[] {
  if (dir === "ONLINE") {
    const hub = modelScope ? "modelscope" : "huggingface";
    return names.map((name) => hubEntry(`dataset: ${name}`, name, {}, { hub, repo: name }));
  }
  if (dir.startsWith("REMOTE:")) {
    throw new UserError(
      `dataset_dir: ${dir}: ${INFO_FILE} of a repository is not fetched; download it and name its folder`,
    );
  }
  const file = path.join(dir, INFO_FILE);
  const info = parseInfo(file);
  return names.map((name) => {
    const entry = Object.hasOwn(info, name) ? info[name] : undefined;
    if (entry === undefined) {
      const known = Object.keys(info);
      const list = known.slice(0, 8).join(", ") + (known.length > 8 ? ", ..." : "");
      throw new UserError(
        `dataset: ${name} is not defined in ${file}, which has: ${list || "nothing"}; name one of these, or define it there`,
      );
    }
    return resolveEntry(dir, `${file}: ${name}`, name, entry, modelScope);
  });
}

function parseInfo(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new UserError(`${file} does not exist; set dataset_dir to the folder that holds ${INFO_FILE}`);
    }
    throw new UserError(`${file}: cannot be read: ${messageOf(error)}`);
  }
  const info = parseJson(text, file);
  if (!isObject(info))
    throw new UserError(`${file}: must be an object that maps dataset names to their entries`);
  return info;
}

function resolveEntry(
  dir: string,
  where: string,
  name: string,
  entry: unknown,
  modelScope: boolean,
): DatasetEntry {
  if (!isObject(entry))
    throw new UserError(`${where}: must be an object such as {"file_name": "data.jsonl"}`);
  if (entry.ranking === true) {
    throw new UserError(
      `${where}: a ranking dataset does not fit pre-training; use one whose rows hold plain text`,
    );
  }
  const hub = hubOf(where, entry, modelScope);
  if (hub !== undefined) return hubEntry(where, name, entry, hub);
  refuseOtherSources(where, entry);
  const fileName = entry.file_name;
  if (typeof fileName !== "string" || fileName === "") {
    throw new UserError(`${where}: file_name is missing; name a file of rows or a folder of them in ${dir}`);
  }
  const wholeFile = isWholeFile(where, entry);
  return {
    name,
    files: (wholeFile ? wholeFiles : localFiles)(dir, where, fileName),
    columns: wholeFile ? { formatting: "alpaca", prompt: WHOLE_FILE_COLUMN } : resolveColumns(where, entry),
    ...(wholeFile && { wholeFile }),
    numSamples: resolveNumSamples(where, entry.num_samples),
    dateColumn: dateColumn(where, entry),
    languageTag: entryTag(where, entry.language_tag),
  };
}

/** LLaMA-Factory's choice: Hugging Face, unless ModelScope is asked for or alone. */
function hubOf(
  where: string,
  entry: Record<string, unknown>,
  modelScope: boolean,
): Pick<HubSource, "hub" | "repo"> | undefined {
  const [hf, ms] = [entry.hf_hub_url, entry.ms_hub_url];
  if (hf === undefined && ms === undefined) return undefined;
  const [key, repo] = ms !== undefined && (modelScope || hf === undefined) ? ["ms", ms] : ["hf", hf];
  if (typeof repo !== "string" || !/^[\w.-]+\/[\w.-]+$|^[\w.-]+$/.test(repo)) {
    throw new UserError(`${where}: ${key}_hub_url must be a repository such as "owner/name"`);
  }
  return { hub: key === "ms" ? "modelscope" : "huggingface", repo };
}

function hubEntry(
  where: string,
  name: string,
  entry: Record<string, unknown>,
  hub: Pick<HubSource, "hub" | "repo">,
): DatasetEntry {
  const part = (key: "subset" | "folder" | "split"): string | undefined => {
    const value = entry[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value === "string" && value !== "") return value;
    throw new UserError(`${where}: ${key} must be a text`);
  };
  if (entry.whole_file !== undefined)
    throw new UserError(
      `${where}: whole_file is for local files; download the repository and name its folder in file_name`,
    );
  return {
    name,
    files: [],
    source: { ...hub, subset: part("subset"), folder: part("folder"), split: part("split") ?? "train" },
    columns: resolveColumns(where, entry),
    numSamples: resolveNumSamples(where, entry.num_samples),
    dateColumn: dateColumn(where, entry),
    languageTag: entryTag(where, entry.language_tag),
  };
}

function refuseOtherSources(where: string, entry: Record<string, unknown>): void {
  if ("om_hub_url" in entry) {
    throw new UserError(`${where}: om_hub_url: that hub is not fetched from; name hf_hub_url or ms_hub_url`);
  }
  if ("script_url" in entry) {
    throw new UserError(
      `${where}: script_url: loading scripts are not run; convert the data to JSON and use file_name`,
    );
  }
  if ("cloud_file_name" in entry) {
    throw new UserError(
      `${where}: cloud_file_name: cloud storage is not read; download the file and use file_name`,
    );
  }
  const split = entry.split ?? "train";
  if (split !== "train") {
    throw new UserError(
      `${where}: split ${JSON.stringify(split)} of a local file is not supported; leave split out`,
    );
  }
  for (const key of ["subset", "folder"]) {
    if (entry[key] !== undefined && entry[key] !== null) {
      throw new UserError(`${where}: ${key} has no meaning for a local file; leave it out`);
    }
  }
}

function resolveNumSamples(where: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
    throw new UserError(
      `${where}: num_samples must be a whole number of at least 1, not ${JSON.stringify(value)}`,
    );
  }
  return value;
}

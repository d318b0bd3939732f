// dataset_info.json: which file a dataset's name stands for and which of its columns hold the text. It opens no data.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../errors.js";
import { parseJson } from "../json.js";

const INFO_FILE = "dataset_info.json";
const FILE_TYPES = [".json", ".jsonl"];
const HUB_KEYS = ["hf_hub_url", "ms_hub_url", "om_hub_url"];

/** The columns that pre-training reads; the others of LLaMA-Factory's alpaca format have no part in it. */
export interface TextColumns {
  readonly prompt?: string;
  readonly query?: string;
  readonly history?: string;
}

/** One dataset, checked and resolved to files. */
export interface DatasetEntry {
  readonly name: string;
  /** Files in reading order; several where file_name is a folder. */
  readonly files: readonly string[];
  readonly columns: TextColumns;
  /** Rows to draw at random, in drawn order; undefined for all rows in file order. */
  readonly numSamples: number | undefined;
}

/**
 * Looks names up in `<dir>/dataset_info.json`.
 *
 * @throws UserError for an unknown name, a source that is not a local .json or .jsonl file, or a malformed entry
 */
export function readDatasetInfo(dir: string, names: readonly string[]): DatasetEntry[] {
  if (dir === "ONLINE" || dir.startsWith("REMOTE:")) {
    throw new UserError(`dataset_dir: ${dir}: ${noHub()}`);
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
    return resolveEntry(dir, file, name, entry);
  });
}

function noHub(): string {
  return "fetching from a hub is not available in this version; download the file and use file_name";
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

function resolveEntry(dir: string, file: string, name: string, entry: unknown): DatasetEntry {
  const where = `${file}: ${name}`;
  if (!isObject(entry))
    throw new UserError(`${where}: must be an object such as {"file_name": "data.jsonl"}`);
  refuseOtherSources(where, entry);
  const formatting = entry.formatting ?? "alpaca";
  if (formatting !== "alpaca") {
    throw new UserError(
      `${where}: formatting ${JSON.stringify(formatting)} is for conversations; pre-training reads alpaca, ` +
        'where "columns": {"prompt": ...} names the text',
    );
  }
  if (entry.ranking === true) {
    throw new UserError(
      `${where}: a ranking dataset does not fit pre-training; use one whose rows hold plain text`,
    );
  }
  const split = entry.split ?? "train";
  if (split !== "train") {
    throw new UserError(
      `${where}: split ${JSON.stringify(split)} of a local file is not supported; leave split out`,
    );
  }
  const fileName = entry.file_name;
  if (typeof fileName !== "string" || fileName === "") {
    throw new UserError(`${where}: file_name is missing; name a .json or .jsonl file in ${dir}`);
  }
  return {
    name,
    files: resolveFiles(dir, where, path.isAbsolute(fileName) ? fileName : path.join(dir, fileName)),
    columns: resolveColumns(where, entry.columns),
    numSamples: resolveNumSamples(where, entry.num_samples),
  };
}

function refuseOtherSources(where: string, entry: Record<string, unknown>): void {
  const hub = HUB_KEYS.find((key) => key in entry);
  if (hub !== undefined) throw new UserError(`${where}: ${hub}: ${noHub()}`);
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
  for (const key of ["subset", "folder"]) {
    if (entry[key] !== undefined && entry[key] !== null) {
      throw new UserError(`${where}: ${key} has no meaning for a local file; leave it out`);
    }
  }
}

function resolveFiles(dir: string, where: string, target: string): string[] {
  if (!existsSync(target))
    throw new UserError(
      `${where}: file ${target} does not exist; correct file_name (it is relative to ${dir}), or put the file there`,
    );
  // By name, so that every machine reads a folder in the same order.
  const files = statSync(target).isDirectory()
    ? readdirSync(target)
        .sort()
        .map((name) => path.join(target, name))
    : [target];
  if (files.length === 0)
    throw new UserError(`${where}: folder ${target} is empty; put .json or .jsonl files into it`);
  const other = files.find((file) => !FILE_TYPES.includes(path.extname(file)) || !statSync(file).isFile());
  if (other !== undefined) {
    throw new UserError(
      `${where}: ${other} is not of a supported type: ${FILE_TYPES.join(", ")}; convert it to rows such as {"text": "..."}`,
    );
  }
  return files;
}

function resolveColumns(where: string, columns: unknown): TextColumns {
  if (columns === undefined) return { prompt: "instruction", query: "input" };
  if (!isObject(columns))
    throw new UserError(`${where}: columns must be an object such as {"prompt": "text"}`);
  const named: { prompt?: string; query?: string; history?: string } = {};
  for (const role of ["prompt", "query", "history"] as const) {
    const column = columns[role];
    if (column === undefined || column === null || column === "") continue;
    if (typeof column !== "string") throw new UserError(`${where}: columns.${role} must be a column's name`);
    named[role] = column;
  }
  if (Object.keys(named).length === 0) {
    throw new UserError(`${where}: columns names no text; add "prompt", for instance {"prompt": "text"}`);
  }
  return named;
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

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

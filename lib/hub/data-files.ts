// Which files of a dataset's repository are a subset's and a split's: by the configurations in README.md, else by the
// names of files and folders, in the way of the Python library `datasets` 4.0. It opens no file but README.md's text.
import { UserError } from "../errors.js";
import { yaml } from "../files/yaml.js";
import { matching } from "./globs.js";

/** What is wanted of a repository. */
export interface DataWanted {
  /** The repository's name, for messages. */
  readonly repo: string;
  readonly subset: string | undefined;
  readonly folder: string | undefined;
  readonly split: string;
}

type Splits = Map<string, string[]>;

interface Configuration {
  readonly name: string;
  readonly isDefault: boolean;
  /** Split -> patterns; undefined where they follow from the files' names. */
  readonly patterns: Splits | undefined;
  readonly folder: string;
}

/**
 * The data files, in reading order.
 * @throws UserError where a subset, folder or split is not there, listing those that are
 */
export function dataFiles(paths: readonly string[], readme: string, wanted: DataWanted): string[] {
  const configurations = configurationsOf(readme, wanted.repo);
  const folder = inFolder("", wanted.folder ?? "");
  // a folder takes precedence over the configurations, which then need no default
  const chosen = folder !== "" && wanted.subset === undefined ? undefined : choose(configurations, wanted);
  let splits: Splits;
  if (folder !== "") splits = resolved(patternsByName(paths, folder), paths, folder);
  else if (chosen === undefined) splits = resolved(patternsByName(paths, ""), paths, "");
  else {
    const patterns = chosen.patterns ?? patternsByName(paths, chosen.folder);
    splits = resolved(patterns, paths, chosen.folder);
  }
  if (splits.size === 0) {
    const where = folder === "" ? "" : ` in folder ${folder}`;
    throw new UserError(
      `${wanted.repo}: has no data files that can be read${where}; ${folder === "" ? "take another repository of it, in parquet, JSON, CSV or text" : "correct folder"}`,
    );
  }
  return wanted.split.split("+").flatMap((split) => ofSplit(splits, split.trim(), wanted));
}

function ofSplit(splits: Splits, split: string, wanted: DataWanted): string[] {
  if (/[[\]%]/.test(split)) {
    throw new UserError(
      `${wanted.repo}: split ${JSON.stringify(split)}: parts of a split are not cut here; name the split alone, and limit rows by max_samples or num_samples`,
    );
  }
  const files = split === "all" ? [...splits.values()].flat() : splits.get(split);
  if (files === undefined) {
    throw new UserError(
      `${wanted.repo}: has no split ${JSON.stringify(split)}; it has: ${[...splits.keys()].join(", ")}`,
    );
  }
  return ofOneKind(files, wanted.repo);
}

/** LLaMA-Factory's `subset` is a configuration's name. */
function choose(all: readonly Configuration[], { repo, subset }: DataWanted): Configuration | undefined {
  const names = all.map(({ name }) => name);
  const list = names.slice(0, 12).join(", ") + (names.length > 12 ? ", ..." : "");
  if (subset !== undefined) {
    const found = all.find(({ name }) => name === subset);
    if (found !== undefined || (all.length === 0 && subset === "default")) return found;
    throw new UserError(
      `${repo}: has no subset ${JSON.stringify(subset)}; ${all.length > 0 ? `it has: ${list}` : "it has none: leave subset out, or name a folder"}`,
    );
  }
  if (all.length <= 1) return all[0];
  const byDefault = all.filter(({ name, isDefault }) => isDefault || name === "default");
  if (byDefault.length === 1) return byDefault[0];
  throw new UserError(`${repo}: name a subset in dataset_info.json; it has: ${list}`);
}

/** `configs` in README.md's front matter. */
function configurationsOf(readme: string, repo: string): Configuration[] {
  const front = /^\uFEFF?\s*---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(readme)?.[1];
  if (front === undefined) return [];
  let configs: unknown;
  try {
    configs = (yaml().parse(front, { logLevel: "error", uniqueKeys: false }) as { configs?: unknown } | null)
      ?.configs;
  } catch {
    throw new UserError(`${repo}: README.md: its front matter is no YAML; name the files by folder instead`);
  }
  if (!Array.isArray(configs)) return [];
  return configs.map((config: Record<string, unknown>) => ({
    name: String(config.config_name ?? "default"),
    isDefault: config.default === true,
    patterns: patternsOf(config.data_files),
    folder: inFolder("", typeof config.data_dir === "string" ? config.data_dir : ""),
  }));
}

/** A pattern, a list of them (all train), or a list of {split, path}. */
function patternsOf(value: unknown): Splits | undefined {
  if (value === undefined || value === null) return undefined;
  const items = Array.isArray(value) ? value : [value];
  const splits: Splits = new Map();
  for (const item of items as unknown[]) {
    const { split = "train", path = item } = (typeof item === "object" && item !== null ? item : {}) as {
      split?: unknown;
      path?: unknown;
    };
    const paths = (Array.isArray(path) ? path : [path]).map(String);
    splits.set(String(split), [...(splits.get(String(split)) ?? []), ...paths]);
  }
  return splits;
}

const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "dev", "val"],
  test: ["test", "testing", "eval", "evaluation"],
};
const SEPARATOR = "[-._ 0-9]";
const DIGITS = "[0-9]".repeat(5);
const SHARDED = `data/*-${DIGITS}-of-${DIGITS}*.*`;
const BY_FOLDER = (word: string): string[] => [
  `**/${word}/**`,
  `**/${word}${SEPARATOR}*/**`,
  `**/*${SEPARATOR}${word}/**`,
  `**/*${SEPARATOR}${word}${SEPARATOR}*/**`,
];
const BY_FILE = (word: string): string[] => [
  `**/${word}${SEPARATOR}*`,
  `**/*${SEPARATOR}${word}${SEPARATOR}*`,
];

/** The patterns that the names of a folder's files suggest: shards, then folders, then files, then everything. */
function patternsByName(paths: readonly string[], folder: string): Splits {
  const under = below(paths, folder);
  const shards = matching(SHARDED, under);
  if (shards.length > 0) {
    const names = shards.map((path) => /([^/]+)-\d{5}-of-\d{5}[^/]*$/.exec(path)?.[1] ?? "train");
    return new Map([...new Set(names)].map((name) => [name, [SHARDED.replace("*", name)]]));
  }
  for (const patterns of [BY_FOLDER, BY_FILE]) {
    const splits = Object.entries(KEYWORDS).map(([split, words]): [string, string[]] => [
      split,
      words.flatMap(patterns),
    ]);
    const found = splits.filter(([, list]) => list.some((pattern) => matching(pattern, under).length > 0));
    if (found.length > 0) return new Map(found);
  }
  return new Map([["train", ["**"]]]);
}

/** The files of each split; one that has none is left out. */
function resolved(patterns: Splits, paths: readonly string[], folder: string): Splits {
  const under = below(paths, folder);
  const splits: Splits = new Map();
  for (const [split, list] of patterns) {
    const files = list.flatMap((pattern) => matching(inFolder("", pattern), under)).filter(isData);
    if (files.length > 0)
      splits.set(
        split,
        files.map((file) => inFolder(folder, file)),
      );
  }
  return splits;
}

function below(paths: readonly string[], folder: string): string[] {
  if (folder === "") return [...paths];
  const start = `${folder}/`;
  return paths.filter((path) => path.startsWith(start)).map((path) => path.slice(start.length));
}

/** A path in a folder, both as they may be written: `./data/`, `data`. */
function inFolder(folder: string, path: string): string {
  const clean = path
    .replace(/^(?:\.?\/)+/, "")
    .replace(/\/+$/, "")
    .replace(/^\.$/, "");
  return folder === "" ? clean : `${folder}/${clean}`;
}

/** Endings by the reader that takes them; those of `other` are data that is not read here. */
const KINDS: Readonly<Record<string, string>> = {
  csv: "csv",
  tsv: "csv",
  json: "json",
  jsonl: "json",
  ndjson: "json",
  parquet: "parquet",
  geoparquet: "parquet",
  gpq: "parquet",
  arrow: "arrow",
  txt: "text",
  tar: "other",
  xml: "other",
  zip: "other",
};
const FAVOURITES = ["parquet", "jsonl", "json", "csv"];

function suffixes(path: string): string[] {
  return path
    .slice(path.lastIndexOf("/") + 1)
    .split(".")
    .slice(1);
}

function isData(path: string): boolean {
  return suffixes(path).some((suffix) => Object.hasOwn(KINDS, suffix));
}

/** The files of the commonest kind: a table of contents in JSON beside parquet files is none of the data. */
function ofOneKind(files: readonly string[], repo: string): string[] {
  const counts = new Map<string, number>();
  for (const suffix of files.slice(0, 200).flatMap(suffixes)) {
    const ending = suffix.toLowerCase();
    if (Object.hasOwn(KINDS, ending)) counts.set(ending, (counts.get(ending) ?? 0) + 1);
  }
  // in a draw parquet goes first, then JSON lines, JSON and CSV
  const rank = (ending: string): number => {
    const place = FAVOURITES.indexOf(ending);
    return place === -1 ? FAVOURITES.length : place;
  };
  const [first] = [...counts].sort(([a, x], [b, y]) => y - x || rank(a) - rank(b) || (a < b ? 1 : -1));
  const kind = KINDS[first?.[0] ?? ""];
  if (kind === "other") {
    throw new UserError(
      `${repo}: its data are .${first?.[0]} files, which are not read here; take another repository of it, in parquet, JSON, CSV or text`,
    );
  }
  return files.filter((file) => suffixes(file).some((suffix) => KINDS[suffix] === kind));
}

// From a path that a user names to datasets in dataset_info.json: looks at the first row, and adds the entries that are
// missing. It writes nothing itself.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { documentsBelow, fileType, isMarkdown, readRows } from "../data/index.js";
import { UserError } from "../errors.js";
import { isObject, parseJson } from "../files/json.js";

const INFO = "dataset_info.json";

/** What a recipe says of its data, and the dataset_info.json that it needs. */
export interface DataPlan {
  /** Folder of dataset_info.json. */
  readonly dir: string;
  /** Datasets by name. */
  readonly names: readonly string[];
  /** The file's new content; undefined where it stands as it is. */
  readonly info?: Readonly<Record<string, unknown>>;
  /** What was found, in a line. */
  readonly found: string;
}

type Entries = Record<string, unknown>;

function readInfo(dir: string): Entries {
  const file = path.join(dir, INFO);
  if (!existsSync(file)) return {};
  const info = parseJson(readFileSync(file, "utf8").replace(/^\uFEFF/, ""), file);
  if (isObject(info)) return info;
  throw new UserError(`${file}: must be an object that maps dataset names to their entries`);
}

/** Columns that hold plain text, in the order of preference. */
const TEXT = ["text", "content", "prompt", "document", "raw_content", "body"];

/** The entry for a file, by what its first row holds. */
async function entryOf(file: string, column: string | undefined): Promise<Entries> {
  const file_name = path.basename(file);
  if (isMarkdown(file)) return { file_name, whole_file: true };
  for await (const { value } of readRows(file)) {
    const texts = Object.keys(value).filter((key) => typeof value[key] === "string");
    if (column !== undefined) {
      if (texts.includes(column)) return { file_name, columns: { prompt: column } };
      throw new UserError(
        `${file}: column ${column} holds no text; the rows have: ${Object.keys(value).join(", ")}`,
      );
    }
    const plain = TEXT.find((name) => texts.includes(name));
    if (plain !== undefined) return { file_name, columns: { prompt: plain } };
    if (texts.includes("instruction")) return { file_name };
    if (Array.isArray(value["conversations"])) return { file_name, formatting: "sharegpt" };
    if (Array.isArray(value["messages"])) return messagesEntry(file_name);
    if (texts.length === 1) return { file_name, columns: { prompt: texts[0] } };
    throw new UserError(
      `${file}: which column holds the text? the rows have: ${Object.keys(value).join(", ")}; name it with --column`,
    );
  }
  throw new UserError(`${file}: has no rows; name a file that holds text`);
}

const messagesEntry = (file_name: string): Entries => ({
  file_name,
  formatting: "openai",
  columns: { messages: "messages" },
  tags: {
    role_tag: "role",
    content_tag: "content",
    user_tag: "user",
    assistant_tag: "assistant",
    system_tag: "system",
  },
});

/** A name for a file that no other entry has. */
function freeName(file: string, info: Entries): string {
  const base =
    path
      .basename(file)
      .replace(/\.gz$/, "")
      .replace(/\.\w+$/, "")
      .replace(/[^\p{L}\p{N}_-]+/gu, "_") || "data";
  for (let at = 1; ; at++) {
    const name = at === 1 ? base : `${base}_${at}`;
    if (!Object.hasOwn(info, name)) return name;
  }
}

const nameFor = (file: string, info: Entries): string | undefined =>
  Object.entries(info).find(
    ([, entry]) => isObject(entry) && entry["file_name"] === path.basename(file),
  )?.[0];

async function planFiles(
  dir: string,
  files: readonly string[],
  column: string | undefined,
): Promise<DataPlan> {
  const info = { ...readInfo(dir) };
  const names: string[] = [];
  let added = 0;
  for (const file of files) {
    const known = nameFor(file, info);
    const name = known ?? freeName(file, info);
    if (known === undefined) {
      info[name] = await entryOf(file, column);
      added++;
    }
    names.push(name);
  }
  const place = path.join(dir, INFO);
  if (added === 0) return { dir, names, found: `${names.join(", ")} of ${place}` };
  const verb = existsSync(place) ? "extended" : "written";
  return { dir, names, info, found: `${names.join(", ")}: ${place} is ${verb}` };
}

/** A folder whose files, and those of its folders, are one document each. */
function planFolder(dir: string): DataPlan {
  const info = { ...readInfo(dir) };
  const name = freeName(path.resolve(dir), info);
  info[name] = { file_name: ".", whole_file: true };
  const place = path.join(dir, INFO);
  const count = documentsBelow(dir).length;
  return { dir, names: [name], info, found: `${name}: ${count} documents, one a file; ${place} is written` };
}

/** Datasets of a dataset_info.json whose files lie beside it. */
function localNames(dir: string): string[] {
  return Object.entries(readInfo(dir)).flatMap(([name, entry]) => {
    const file = isObject(entry) ? entry["file_name"] : undefined;
    return typeof file === "string" && existsSync(path.join(dir, file)) ? [name] : [];
  });
}

/**
 * The datasets behind a path: a file of rows, a folder with dataset_info.json, or a folder of files.
 * @param column the column that holds the text, where it is not to be guessed
 * @throws UserError for a path that is not there, or that holds no text
 */
export async function planData(data: string, column?: string): Promise<DataPlan> {
  const target = path.normalize(data);
  if (!existsSync(target)) throw new UserError(`${data}: there is no such file or folder; check the path`);
  if (!statSync(target).isDirectory()) {
    if (path.basename(target) === INFO) return planData(path.dirname(target), column);
    return planFiles(path.dirname(target), [target], column);
  }
  if (existsSync(path.join(target, INFO))) {
    const names = localNames(target);
    if (names.length > 0)
      return { dir: target, names, found: `${names.join(", ")} of ${path.join(target, INFO)}` };
  }
  const files = readdirSync(target)
    .sort()
    .filter((name) => name !== INFO && fileType(name) !== undefined)
    .map((name) => path.join(target, name));
  // a folder of notes: no rows of other formats, and Markdown somewhere
  if (files.every((file) => /\.txt$/i.test(file)) && documentsBelow(target).some(isMarkdown))
    return planFolder(target);
  if (files.length === 0)
    throw new UserError(
      `${data}: holds no file of text; it may hold .jsonl, .json, .txt, .md, .csv, .parquet or .arrow`,
    );
  return planFiles(target, files, column);
}

// Patterns of file names as the Python library `datasets` reads them: `*` inside a folder, `**` as a whole part for any
// folders, `?`, `[a-z]`. What is hidden is only found by a pattern that says so.

/** The paths that a pattern matches, sorted as Python sorts. */
export function matching(pattern: string, paths: readonly string[]): string[] {
  const expression = translated(pattern);
  const ignored = IGNORED.filter((name) => name !== lastOf(pattern));
  return paths
    .filter(
      (path) =>
        expression.test(path) &&
        !ignored.includes(lastOf(path)) &&
        count(foldersOf(path), "__") === count(foldersOf(pattern), "__") &&
        count(path.split("/"), ".") === count(pattern.split("/"), "."),
    )
    .sort(byCodePoints);
}

/** Files of a data set's repository that hold no data. */
const IGNORED = [
  "README.md",
  "config.json",
  "dataset_info.json",
  "dataset_infos.json",
  "dummy_data.zip",
  "dataset_dict.json",
];

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function foldersOf(path: string): string[] {
  return path.split("/").slice(0, -1);
}

function count(parts: readonly string[], start: string): number {
  return parts.filter((part) => part.startsWith(start) && !/^\.+$/.test(part)).length;
}

function byCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function translated(pattern: string): RegExp {
  const parts = pattern.replace(/^\.\//, "").split("/");
  const texts = parts.map((part, index) => {
    const isLast = index === parts.length - 1;
    if (part === "**") return isLast ? ".*" : "(?:.+/)?";
    if (part === "*") return isLast ? "[^/]+" : "[^/]+/";
    return segment(part) + (isLast ? "" : "/");
  });
  return new RegExp(`^${texts.join("")}$`, "su");
}

function segment(part: string): string {
  // `**` inside a part is an error in fsspec; here it is read as one
  return part.replace(/\*+|\?|\[(!?)(\]?[^\]]*)\]|[\\^$.|+(){}[\]/-]/g, (found, not, set) => {
    if (found.startsWith("*")) return "[^/]*";
    if (found === "?") return "[^/]";
    if (set === undefined) return found === "-" ? "-" : `\\${found}`;
    return `[${not ? "^" : ""}${classOf(set)}]`;
  });
}

/** The inside of `[...]`, where only a hyphen between two characters is a range. */
function classOf(set: string): string {
  return set.replace(/[\\^\][|&~{}()/-]/g, (character, at: number) =>
    character === "-" && at > 0 && at < set.length - 1 ? "-" : `\\${character}`,
  );
}

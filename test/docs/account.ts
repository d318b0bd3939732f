// How each block of the documentation is run: by its language, or not at all and with a reason that the reader sees. A new
// block needs nothing but to be one of these; what is none of them is reported.
import { type Block, blocksOf, pages } from "./pages.js";

/** What runs a block. */
export type Way =
  /** Keys of a recipe, read by the recipe's reader over those of the walk-through: blocks.test.ts. */
  | "recipe"
  /** Data or dataset_info.json, parsed: blocks.test.ts. */
  | "json"
  /** JavaScript, run in a process: blocks.test.ts, and test/torch/memory-page.test.ts. */
  | "script"
  /** Commands that take a moment: blocks.test.ts. */
  | "quick commands"
  /** Commands and TypeScript that train a small model: commands.client.ts. */
  | "commands"
  | "program"
  /** The same code as in the English page, which test/house/documents.test.ts holds. */
  | "twin"
  /** No code: a picture in letters. */
  | "text"
  /** Not run; the page says why. */
  | "reason";

/** Commands that train nothing and start nothing. */
const QUICK = /^(?:(?:LANG=\S+ )?(?:npx )?qwen-pt (?:help|version|corpora|completion|init)\b|echo )/;

const commandsOf = (block: Block): string[] =>
  block.code
    .split("\n")
    .map((line) => line.replace(/\s+#.*$/, ""))
    .filter((line) => line !== "");

/** The way in which a block is run; undefined where there is none for its language. */
export function wayOf(block: Block): Way | undefined {
  if (block.reason !== undefined) return "reason";
  if (block.page.startsWith("docs/zh/")) return "twin";
  switch (block.language) {
    case "yaml":
      return "recipe";
    case "json":
      return "json";
    case "js":
      return "script";
    case "ts":
      return "program";
    case "text":
      return "text";
    case "":
    case "sh":
    case "bash":
      return commandsOf(block).every((line) => QUICK.test(line)) ? "quick commands" : "commands";
    default:
      return undefined;
  }
}

/** Every block of every page. */
export const allBlocks = (): Block[] => pages().flatMap((page) => blocksOf(page));

/** The blocks that are run in one way. */
export const blocksBy = (way: Way): Block[] => allBlocks().filter((block) => wayOf(block) === way);

/** "page:line", by which a test is found. */
export const placeOf = ({ page, line }: Block): string => `${page}:${line}`;

/** Both counts, in a line. */
export function counts(): string {
  const blocks = allBlocks();
  const of = (...ways: Way[]) => blocks.filter((block) => ways.includes(wayOf(block) as Way)).length;
  const [quick, slow, twins] = [
    of("recipe", "json", "script", "quick commands"),
    of("commands", "program"),
    of("twin"),
  ];
  return (
    `blocks of code in README and docs: ${quick + slow + twins} run (${quick} in npm test, ${slow} in npm run test:docs, ` +
    `${twins} as their English twins), ${of("reason")} not run, each with the reason beside it`
  );
}

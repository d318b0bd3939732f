// `qwen-pt corpora`: the well-known pre-training sets that examples/data/dataset_info.json knows, or those of another
// folder, with size and license.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../../errors.js";
import type { CommandMain } from "../terminal/host.js";

const EXAMPLES = fileURLToPath(new URL("../../../examples/data", import.meta.url));

export const run: CommandMain = async (args, host) => {
  const [dir = EXAMPLES, ...more] = args.filter((arg) => arg !== "--json");
  if (more.length > 0 || dir.startsWith("-")) {
    throw new UserError(
      "corpora takes one folder at most, the one of a dataset_info.json; see qwen-pt help corpora",
    );
  }
  const { readCorpora, formatCorpus } = await import("../../data/datasets/corpora.js");
  const corpora = readCorpora(dir);
  if (args.includes("--json")) {
    host.out.write(`${JSON.stringify(corpora, null, 2)}\n`);
    return 0;
  }
  if (corpora.length === 0) {
    host.out.write(`${path.join(dir, "dataset_info.json")} describes no corpus\n`);
    return 0;
  }
  host.out.write(`${corpora.map(formatCorpus).join("\n\n")}\n\n`);
  host.out.write(`To train on one: dataset: NAME, with dataset_dir: ${dir}, or copy its entry into yours.\n`);
  return 0;
};

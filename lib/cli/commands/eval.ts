// `qwen-pt eval`: how well models predict held-out text, domain by domain: what a training gained and what it lost.
import { existsSync, statSync } from "node:fs";
import { UserError } from "../../errors.js";
import type { DocumentScore, Score } from "../../evaluate/index.js";
import { type ScoredDomain, scoreTable } from "../../evaluate/score-table.js";
import type { InferenceOptions } from "../../inference/index.js";
import { readArguments } from "../terminal/arguments.js";
import { DownloadLine } from "../terminal/download-line.js";
import type { CommandMain } from "../terminal/host.js";
import { Progress } from "../terminal/progress.js";
import { ShareLine } from "../terminal/share-line.js";
import { EXIT_CODES } from "../terminal/signals.js";

/** Shows what is fetched from a hub, and ends it. */
type HubFollower = Required<Pick<InferenceOptions, "onEvent" | "signal">>;

export const run: CommandMain = async (args, host) => {
  const { recipe, overrides, options, flags } = readArguments("eval", args);
  const [stray] = [recipe, ...overrides].filter((one) => one !== undefined);
  if (stray !== undefined) {
    throw new UserError(`eval: ${stray}: write --model DIR and --data NAMES; see \`qwen-pt help eval\``);
  }
  const { model, data } = options;
  if (model === undefined || data === undefined) {
    throw new UserError(
      "eval needs a model and data: qwen-pt eval --model DIR [--adapter DIR] --data NAME[,NAME...]",
    );
  }
  const length = wholeNumber(options, "length") ?? 1024;
  const limit = wholeNumber(options, "documents") ?? Number.POSITIVE_INFINITY;
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  host.on("SIGINT", onSignal);
  const progress = new Progress({ out: host.err, env: host.env });
  const download = new DownloadLine(progress);
  const hub: HubFollower = { onEvent: (event) => download.show(event), signal: stop.signal };
  try {
    const corpora = await readCorpora(data, options["dataset-dir"] ?? "data", limit, hub);
    const rows: ScoredDomain[] = [];
    for (const one of modelsOf(model, options)) {
      const scored = await scoreModel({ ...one.where, ...hub }, corpora, length, {
        signal: stop.signal,
        line: new ShareLine(progress),
      });
      rows.push(...scored.map(([name, score]) => ({ data: name, model: one.name, score })));
    }
    host.out.write(flags.has("json") ? `${JSON.stringify(rows, null, 2)}\n` : `${scoreTable(rows)}\n`);
    if (options.output !== undefined) {
      const { writeJson } = await import("../../files/json.js");
      writeJson(options.output, rows);
      progress.print(`figures saved in ${options.output}`);
    }
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return EXIT_CODES.SIGINT;
  } finally {
    download.stop();
    host.off("SIGINT", onSignal);
  }
};

/** The model as it was, where there is something to compare with, and as it is. */
function modelsOf(
  model: string,
  { adapter, before }: Readonly<Record<string, string>>,
): { name: string; where: InferenceOptions }[] {
  const adapters = adapter?.split(",");
  const now = { model, ...(adapters === undefined ? {} : { adapters }) };
  const earlier = before ?? (adapters === undefined ? undefined : model);
  if (earlier === undefined) return [{ name: "", where: now }];
  return [
    { name: "before", where: { model: earlier } },
    { name: "after", where: now },
  ];
}

function wholeNumber(options: Readonly<Record<string, string>>, name: string): number | undefined {
  const given = options[name];
  if (given === undefined) return undefined;
  const value = Number(given);
  if (Number.isInteger(value) && value > 0) return value;
  throw new UserError(`eval: --${name} must be a whole number of at least 1, not ${given}`);
}

type Corpus = readonly [name: string, texts: readonly string[], tag: string];

/** Names of dataset_info.json, or files whose rows are {"text": ...}. Held in memory: held-out text is small. */
async function readCorpora(
  names: string,
  dir: string,
  limit: number,
  { onEvent, signal }: HubFollower,
): Promise<Corpus[]> {
  const [{ isMarkdown, readDatasetInfo, readDocuments }, { datasetFetcher }] = await Promise.all([
    import("../../data/index.js"),
    import("../../hub/index.js"),
  ]);
  const fetcher = datasetFetcher({ onEvent });
  const corpora: Corpus[] = [];
  for (const name of names.split(",").map((one) => one.trim())) {
    const isFile = /[./\\]/.test(name) && existsSync(name) && statSync(name).isFile();
    const found = isFile ? undefined : readDatasetInfo(dir, [name], fetcher.modelScope)[0]!;
    const columns = { formatting: "alpaca", prompt: "text" } as const;
    const entry = found ?? { columns, wholeFile: isMarkdown(name) };
    const files =
      found?.source === undefined ? found?.files : await fetcher.files(found.source, name, signal);
    const tag = found?.languageTag ?? "";
    const texts: string[] = [];
    for await (const text of readDocuments({ ...entry, files: files ?? [name] })) {
      if (texts.length >= limit) break;
      if (text !== "") texts.push(text.slice(tag.length));
    }
    if (texts.length === 0) throw new UserError(`eval: --data ${name} has no text; name one that has rows`);
    corpora.push([name, texts, tag]);
  }
  return corpora;
}

async function scoreModel(
  where: InferenceOptions,
  corpora: readonly Corpus[],
  length: number,
  { signal, line }: { signal: AbortSignal; line: ShareLine },
): Promise<[string, Score][]> {
  const { chooseDevice } = await import("../../assembly/index.js");
  const { openModel } = await import("../../inference/index.js");
  const { scoreDocuments, totalScore } = await import("../../evaluate/index.js");
  const device = chooseDevice({ use_cpu: false }, () => {});
  const { model, tokenizer } = await openModel({ ...where, device });
  const scores: [string, Score][] = [];
  for (const [name, texts, context] of corpora) {
    const found: DocumentScore[] = await scoreDocuments(model, tokenizer, texts, {
      device,
      length,
      context,
      signal,
      onProgress: (done, total) => line.show(`scoring ${name}`, done, total),
    });
    scores.push([name, totalScore(found)]);
  }
  for (const parameter of model.parameters()) parameter.dispose();
  return scores;
}

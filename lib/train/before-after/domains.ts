// `eval_domains`: what training gained and what it lost, domain by domain. Named held-out sets are scored before the
// first step and after the last one; a checkpoint takes the first figures along. How a text is scored is score.ts's.
import { existsSync } from "node:fs";
import path from "node:path";
import { modelConfig } from "../../assembly/model.js";
import { precisionOf } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import { corpusTexts, type DatasetHub, type Tokenizer } from "../../data/index.js";
import { UserError } from "../../errors.js";
import type { DomainReport, DomainScores } from "../../evaluate/domain-report.js";
import { type Score, scoreDocuments, totalScore } from "../../evaluate/score.js";
import type { ScoredDomain } from "../../evaluate/score-table.js";
import type { TrainEvent } from "../../events.js";
import { readJsonFile } from "../../files/json-file.js";
import { writeWhole } from "../../files/output-file.js";
import { count, number, object, optional, type Shape, table } from "../../files/shape.js";
import { openModel } from "../../inference/open-model.js";
import type { CausalModel } from "../../models/causal-model.js";
import { getRngState, keep, setRngState } from "../../torch/index.js";
import type { Prepared } from "../setup/prepare.js";
import type { Strategy } from "../strategy/strategy.js";
import { reportedSets } from "./forgetting-report.js";

/** The file of the scores before and after training. */
export const DOMAIN_FILE = "domain_results.json";

/** A held-out set as texts. */
export interface Domain {
  readonly name: string;
  readonly texts: readonly string[];
  /** What stands in front of each and is not scored. */
  readonly tag: string;
}

/** Where events go, and what ends the scoring. */
export interface DomainOptions {
  readonly emit: (event: TrainEvent) => void;
  readonly isAborted?: () => boolean;
  /** The run's processes, each of which scores its share; rank 0 writes. */
  readonly strategy: Strategy;
}

/**
 * The documents of the sets that are scored before and after, at most `max_samples` of each and of those that only the
 * forgetting report names at most `forgetting_samples`, and their language tags.
 * @throws UserError for a name that is not known, and for a set without text
 */
export async function readDomains(
  recipe: Recipe,
  options: { readonly hub?: DatasetHub; readonly signal?: AbortSignal },
): Promise<Domain[]> {
  const scored = recipe.eval_domains ?? [];
  const reported = reportedSets(recipe).map(({ name }) => name);
  const names = [...new Set([...scored, ...reported])];
  if (names.length === 0) return [];
  const domains = names.map((name) => ({ name, texts: [] as string[], tag: "" }));
  for await (const { dataset, text, tag } of corpusTexts(recipe, names, options)) {
    const domain = domains.find(({ name }) => name === dataset);
    if (domain === undefined) continue;
    domain.tag = tag;
    const most = scored.includes(dataset) ? Number.POSITIVE_INFINITY : recipe.forgetting_samples;
    if (domain.texts.length < most) domain.texts.push(text.slice(tag.length));
  }
  const empty = domains.find(({ texts }) => texts.length === 0);
  if (empty !== undefined)
    throw new UserError(
      `${scored.includes(empty.name) ? "eval_domains" : "forgetting_dataset"}: ${empty.name} has no text; name a dataset with documents, or leave it out`,
    );
  return domains;
}

/** The scores of a run's domains, before and after. */
export class DomainEvaluation {
  #before: DomainScores = {};

  private constructor(
    private readonly prepared: Prepared,
    private readonly domains: readonly Domain[],
    private readonly options: DomainOptions,
  ) {}

  /**
   * Takes the figures before the first step: of the recipe's model, or those that the checkpoint kept. Undefined where
   * there are no domains. The random state stays.
   */
  static async begin(
    prepared: Prepared,
    domains: readonly Domain[],
    options: DomainOptions,
  ): Promise<DomainEvaluation | undefined> {
    if (domains.length === 0) return undefined;
    const evaluation = new DomainEvaluation(prepared, domains, options);
    evaluation.#before = keptScores(prepared.resume, domains) ?? (await evaluation.#scoreStart());
    options.emit({ type: "domains", rows: evaluation.#rows(evaluation.#before, "before") });
    return evaluation;
  }

  /** Writes what is known so far into a checkpoint. */
  save(dir: string, after: DomainScores = {}): void {
    const report: DomainReport = Object.fromEntries(
      this.domains.map(({ name }) => [name, { before: this.#before[name], after: after[name] }]),
    );
    writeWhole(path.join(dir, DOMAIN_FILE), `${JSON.stringify(report, null, 2)}\n`);
  }

  /**
   * Scores the trained model, writes {@link DOMAIN_FILE} and reports the table; undefined where it was aborted. Every process
   * asks.
   */
  async finish(dir: string): Promise<DomainReport | undefined> {
    const { model, tokenizer } = this.prepared;
    let after: DomainScores;
    try {
      after = await this.#score(model, tokenizer);
    } catch (error) {
      if ((error as Error).name !== "AbortError") throw error;
      const text = "eval_domains: interrupted; the trained model is saved, and not scored";
      this.options.emit({ type: "message", level: "warning", text });
      return undefined;
    }
    if (this.options.strategy.rank === 0) this.save(dir, after);
    const [before, now] = [this.#rows(this.#before, "before"), this.#rows(after, "after")];
    this.options.emit({
      type: "domains",
      rows: now.flatMap((row) => [...before.filter(({ data }) => data === row.data), row]),
    });
    this.options.emit({ type: "file", path: path.join(dir, DOMAIN_FILE), what: "domains before and after" });
    return Object.fromEntries(
      this.domains.map(({ name }) => [name, { before: this.#before[name], after: after[name] }]),
    ) as DomainReport;
  }

  #rows(scores: DomainScores, model: string): ScoredDomain[] {
    return Object.entries(scores).map(([data, score]) => ({ data, model, score }));
  }

  /** The model before its first step; where its vocabulary has grown, or it has been trained on, its base read again. */
  async #scoreStart(): Promise<DomainScores> {
    const { model, tokenizer, located, grown, resume, device } = this.prepared;
    if (!grown && resume === undefined) return this.#score(model, tokenizer);
    if (located.train_from_scratch) {
      const text =
        "eval_domains: the checkpoint does not hold the figures before the first step; only those after are given";
      this.options.emit({ type: "message", level: "warning", text });
      return {};
    }
    const random = keep(getRngState("cpu")); // an adapter with its own rows draws before it is read
    const base = await openModel({
      model: located.model_name_or_path,
      adapters: located.adapter_name_or_path ?? [],
      config: modelConfig(located, () => {}),
      device,
      dtype: model.inputEmbedding.weight?.dtype, // frozen beside trained rows, it is as the checkpoint has it
    });
    setRngState(random, "cpu");
    random.dispose();
    const scores = await this.#score(base.model, base.tokenizer);
    for (const parameter of base.model.parameters()) parameter.dispose();
    return scores;
  }

  async #score(model: CausalModel, tokenizer: Tokenizer): Promise<DomainScores> {
    const { recipe, device } = this.prepared;
    const options = {
      device,
      length: recipe.cutoff_len,
      compute: precisionOf(recipe).compute,
      isAborted: this.options.isAborted,
      ranks: this.options.strategy,
    };
    const scores: Record<string, Score> = {};
    for (const { name, texts, tag } of this.domains)
      scores[name] = totalScore(await scoreDocuments(model, tokenizer, texts, { ...options, context: tag }));
    await tokenizer.release();
    return scores;
  }
}

const SCORE_SHAPE = object({ nats: number, tokens: count, documents: count, loss: number }) as Shape<Score>;
const REPORT_SHAPE: Shape<DomainReport> = table(
  object({ before: optional(SCORE_SHAPE), after: optional(SCORE_SHAPE) }),
) as Shape<DomainReport>;

/** The figures before the first step, as a checkpoint of this run kept them for all of the domains. */
function keptScores(checkpoint: string | undefined, domains: readonly Domain[]): DomainScores | undefined {
  if (checkpoint === undefined) return undefined;
  const file = path.join(checkpoint, DOMAIN_FILE);
  if (!existsSync(file)) return undefined;
  const report = readJsonFile(file, REPORT_SHAPE, { remedy: "resume from another checkpoint" });
  const kept = domains.map(({ name }) => [name, report[name]?.before] as const);
  return kept.every(([, score]) => score !== undefined)
    ? (Object.fromEntries(kept) as DomainScores)
    : undefined;
}

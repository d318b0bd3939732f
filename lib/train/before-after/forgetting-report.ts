// forgetting_report.txt, .json and .png: what a run cost in general text and what it gained in its own domain, from the
// figures before and after that domains.ts takes.
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import type { DomainReport } from "../../evaluate/domain-report.js";
import type { Score } from "../../evaluate/score.js";
import { scoreTable } from "../../evaluate/score-table.js";
import { writeWhole } from "../../files/output-file.js";
import { canDraw, drawChart, NO_CHARTS } from "../output/chart.js";
import { type Figure, roundInterval } from "../output/figure.js";

/** General text, which is not to be forgotten, or held-out text of what is trained on. */
export type Role = "general" | "domain";

/** A set's place in the report. */
export interface ReportedSet {
  readonly data: string;
  readonly role: Role;
  readonly before: Score;
  readonly after: Score;
}

/** Sets that the report is about, in its order: general ones first. Each once; none where the recipe wants no report. */
export function reportedSets(recipe: Recipe): { name: string; role: Role }[] {
  if (!recipe.forgetting_report) return [];
  const general = recipe.forgetting_dataset ?? [];
  const held = (recipe.eval_dataset ?? []).filter((name) => !general.includes(name));
  const all = [
    ...general.map((name) => [name, "general"] as const),
    ...held.map((name) => [name, "domain"] as const),
  ];
  return [...new Map(all)].map(([name, role]) => ({ name, role }));
}

/** Of the keys against forgetting those that the recipe sets: a report without them cannot be read later. */
const SAID = [
  "learning_rate",
  "replay_dataset",
  "replay_ratio",
  "ewc_lambda",
  "ewc_dataset",
  "distill_weight",
  "distill_temperature",
] as const;

function settings(recipe: Recipe): Record<string, unknown> {
  const idle = (key: string): boolean =>
    (key === "replay_ratio" && recipe.replay_dataset === null) ||
    (key === "distill_temperature" && recipe.distill_weight === null);
  return Object.fromEntries(
    SAID.filter((key) => recipe[key] !== null && !idle(key)).map((key) => [key, recipe[key]]),
  );
}

/**
 * Writes the three files into a folder; no picture where what draws is not installed.
 * @returns their paths, and the lines that sum them up
 */
export async function writeForgettingReport(
  recipe: Recipe,
  scores: DomainReport,
  dir: string,
): Promise<{ files: string[]; lines: string[] }> {
  const sets = reportedSets(recipe).flatMap(({ name, role }): ReportedSet[] => {
    const { before, after } = scores[name] ?? {};
    return before === undefined || after === undefined ? [] : [{ data: name, role, before, after }];
  });
  if (sets.length === 0) return { files: [], lines: [] };
  const rows = sets.flatMap(({ data, role, before, after }) => [
    { data: `${data} (${role})`, model: "before", score: before },
    { data: `${data} (${role})`, model: "after", score: after },
  ]);
  const lines = sets.map(sentence);
  const said = Object.entries(settings(recipe)).map(([key, value]) => `${key}: ${String(value)}`);
  const [text, json, picture] = ["txt", "json", "png"].map((end) =>
    path.join(dir, `forgetting_report.${end}`),
  ) as [string, string, string];
  writeWhole(text, `${[...lines, "", scoreTable(rows), "", ...said].join("\n")}\n`);
  const figures = { sets: sets.map((set) => ({ ...set, change: changes(set) })), recipe: settings(recipe) };
  writeWhole(json, `${JSON.stringify(figures, null, 2)}\n`);
  if (!(await canDraw())) return { files: [text, json], lines: [...lines, NO_CHARTS] };
  writeWhole(picture, await drawChart(figureOf(sets)));
  return { files: [text, json, picture], lines };
}

/** After minus before; of the perplexity the ratio. */
function changes({ before, after }: ReportedSet): Record<string, number> {
  return {
    loss: after.loss - before.loss,
    perplexityRatio: after.perplexity / before.perplexity,
    bitsPerCharacter: after.bitsPerCharacter - before.bitsPerCharacter,
    accuracy: after.accuracy - before.accuracy,
  };
}

function sentence({ data, role, before, after }: ReportedSet): string {
  const percent = 100 * (after.bitsPerCharacter / before.bitsPerCharacter - 1);
  const verb = role === "general" ? (percent > 0 ? "forgot" : "kept") : percent > 0 ? "lost" : "gained";
  const bits = `${before.bitsPerCharacter.toFixed(3)} -> ${after.bitsPerCharacter.toFixed(3)} bits a character`;
  const sign = percent < 0 ? "" : "+";
  return `${data} (${role}): ${verb}, ${bits} (${sign}${percent.toFixed(1)} %), accuracy ${share(before)} -> ${share(after)}`;
}

const share = ({ accuracy }: Score): string => `${(100 * accuracy).toFixed(1)} %`;

const COLOURS = { before: "#a5c9e1", after: "#1f77b4" };

/** Bits per character before and after, a pair of bars a set. */
function figureOf(sets: readonly ReportedSet[]): Figure {
  const moments = ["before", "after"] as const;
  const most = Math.max(
    ...sets.flatMap((set) => moments.map((moment) => set[moment].bitsPerCharacter)),
    1e-6,
  );
  // room above the highest bar for its value
  const interval = roundInterval(1.08 * most, 6);
  const max = Math.ceil((1.08 * most) / interval) * interval;
  return {
    title: "bits per character, before and after",
    x: sets.map(({ data, role }) => `${data} (${role})`),
    y: { name: "bits per character", min: 0, max, interval, label: String },
    marks: moments.map((moment) => ({
      kind: "bars" as const,
      name: moment,
      color: COLOURS[moment],
      heights: sets.map((set) => set[moment].bitsPerCharacter),
    })),
    legend: "above",
  };
}

// Scores as a table for people: a line a domain and model, and what changed from the first of two models to the second.
// `qwen-pt eval` and training print the same.
import { count } from "../words.js";
import type { Score } from "./score.js";

/** One model's score on one domain. */
export interface ScoredDomain {
  /** The domain's name. */
  readonly data: string;
  /** "before", "after", or "" where there is one model. */
  readonly model: string;
  /** Its figures. */
  readonly score: Score;
}

const HEADS = ["data", "model", "documents", "tokens", "loss", "perplexity", "bits/char", "accuracy"];

/**
 * A line a domain and model. After the second of two models stands how the perplexity changed, or the bits per
 * character where another tokenizer made other tokens of the text.
 */
export function scoreTable(rows: readonly ScoredDomain[]): string {
  const names = [...new Set(rows.map(({ data }) => data))];
  const cells = names.flatMap((name) => {
    const [first, second] = rows.filter(({ data }) => data === name) as [ScoredDomain, ScoredDomain?];
    return second === undefined
      ? [cellsOf(first)]
      : [cellsOf(first), [...cellsOf(second), change(first.score, second.score)]];
  });
  const kept = HEADS.map((_, column) => cells.some((line) => line[column] !== ""));
  const widths = HEADS.map((head, column) =>
    Math.max(head.length, ...cells.map((line) => (line[column] as string).length)),
  );
  const lines = [HEADS, ...cells].map((line) =>
    line
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .filter((_, column) => kept[column] ?? true)
      .join("  ")
      .trimEnd(),
  );
  return lines.join("\n");
}

function change(first: Score, second: Score): string {
  const [what, ratio] =
    first.tokens === second.tokens
      ? ["perplexity", second.perplexity / first.perplexity]
      : ["bits/char", second.bitsPerCharacter / first.bitsPerCharacter];
  const percent = 100 * (ratio - 1);
  return `${what} ${percent < 0 ? "" : "+"}${percent.toFixed(1)} %`;
}

function cellsOf({ data, model, score }: ScoredDomain): string[] {
  return [
    data,
    model,
    count(score.documents),
    count(score.tokens),
    score.loss.toFixed(4),
    score.perplexity < 1000 ? score.perplexity.toFixed(2) : count(Math.round(score.perplexity)),
    score.bitsPerCharacter.toFixed(3),
    `${(100 * score.accuracy).toFixed(1)} %`,
  ];
}

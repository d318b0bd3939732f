// Held-out text scored by a model: the loss over batches, figures for documents, and the tables of both. When a run
// evaluates is the trainer's decision.

export type { DomainReport } from "./domain-report.js";
export {
  type DocumentScore,
  type Score,
  type ScoreOptions,
  scoreDocuments,
  totalScore,
} from "./score.js";
export { type ScoredDomain, scoreTable } from "./score-table.js";

// What a recipe adds for incremental pre-training: the public names.

export { AllMethods } from "./all-methods.js";
export { Distillation, type DistillationOptions } from "./forgetting/distillation.js";
export {
  type DistillationLoss,
  type DistillationSettings,
  distillationLoss,
  type HeadRows,
} from "./forgetting/distillation-loss.js";
export {
  type ElasticTerm,
  ElasticWeights,
  elasticNames,
  elasticTerms,
} from "./forgetting/elastic-weights.js";
export { estimateFisher, type Fisher, type FisherOptions, type FisherRanks } from "./forgetting/fisher.js";
export { type FisherSettings, fingerprint, loadFisher, saveFisher } from "./forgetting/fisher-file.js";
export { documentArrangement } from "./order/arrange-documents.js";
export { competence, type Pacing } from "./order/competence.js";
export { type MixStage, sharesOf, temperedShares } from "./order/mixture.js";
export { Passes, type PassOptions } from "./order/passes.js";
export { Proportions } from "./order/proportions.js";
export {
  type Curriculum,
  type DrawnSource,
  epochLength,
  RunOrder,
  type RunOrderOptions,
} from "./order/run-order.js";
export { quantiles, sortedByScore } from "./order/score-order.js";
export {
  countsByYear,
  type Decay,
  drawWeighted,
  expectedDraws,
  logWeights,
  totalWeight,
  type YearCount,
} from "./order/time-decay.js";
export { HeldSlices, headSlices, type Slices } from "./parts/head-masks.js";
export type { Division, Figures, MethodReport, TrainingMethod } from "./training-method.js";
export {
  entryPieces,
  extendTokenizer,
  type LearnOptions,
  learnMerges,
  type NewEntry,
  nextId,
  type TokenizerJson,
} from "./vocabulary/learn-merges.js";

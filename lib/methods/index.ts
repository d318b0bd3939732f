// What a recipe adds for incremental pre-training: the public names.

export { AllMethods } from "./all-methods.js";
export { documentArrangement } from "./arrange-documents.js";
export { competence, type Pacing } from "./competence.js";
export { Distillation, type DistillationOptions } from "./distillation.js";
export {
  type DistillationLoss,
  type DistillationSettings,
  distillationLoss,
  type HeadRows,
} from "./distillation-loss.js";
export { type ElasticTerm, ElasticWeights, elasticNames, elasticTerms } from "./elastic-weights.js";
export { estimateFisher, type Fisher, type FisherOptions } from "./fisher.js";
export { type FisherSettings, fingerprint, loadFisher, saveFisher } from "./fisher-file.js";
export { type HeadSizes, HeldSlices, headSlices, type Slices } from "./head-masks.js";
export { type LayeredModel, lastHidden } from "./layered-model.js";
export {
  entryPieces,
  entryText,
  extendTokenizer,
  type LearnOptions,
  learnMerges,
  type NewEntry,
  nextId,
  type TokenizerJson,
} from "./learn-merges.js";
export { type MixStage, sharesOf, temperedShares } from "./mixture.js";
export { Passes, type PassOptions } from "./passes.js";
export { Proportions } from "./proportions.js";
export {
  type Curriculum,
  type DrawnSource,
  epochLength,
  RunOrder,
  type RunOrderOptions,
} from "./run-order.js";
export { quantiles, sortedByScore } from "./score-order.js";
export {
  countsByYear,
  type Decay,
  drawWeighted,
  expectedDraws,
  logWeights,
  totalWeight,
  type YearCount,
} from "./time-decay.js";
export type {
  Figures,
  MethodReport,
  Objective,
  ObjectiveOf,
  TrainingMethod,
} from "./training-method.js";

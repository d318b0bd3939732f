// The public API: what a program needs to run recipes, and the names that most training loops begin with. Everything
// else has its own door, chosen by hand as well: qwen-pt/torch, /nn, /peft, /optim, /data, /methods (lib/public).
//
// import { train } from "qwen-pt";                                 a recipe, on a worker thread
// import { tensor, scope, backward } from "qwen-pt/torch";         libtorch
// import { addLora } from "qwen-pt/peft";                          the parts, for your own loops
//
// test/api/names.test.ts holds the list.

export { chooseDevice } from "./assembly/index.js";
export {
  describeKey,
  type KeyDescription,
  type KeyName,
  type LoadedRecipe,
  listKeys,
  loadRecipe,
  type Recipe,
  type RecipeInput,
  type RecipeOptions,
  recipeJsonSchema,
  resolveRecipe,
} from "./config/index.js";
export {
  type Batch,
  collate,
  formatSummary,
  loadTokenizer,
  prepareTrainingData,
  readDatasetInfo,
  readDocuments,
  type Tokenizer,
  type TrainingData,
} from "./data/index.js";
export { UserError } from "./errors.js";
export {
  type DocumentScore,
  type Score,
  type ScoreOptions,
  scoreDocuments,
  scoreTable,
  totalScore,
} from "./evaluate/index.js";
export type * from "./events.js";
export { fetchAdapter, fetchModel, type HubEvent, type HubKeys } from "./hub/index.js";
export {
  exportModel,
  type GenerateOptions,
  generate,
  generateTokens,
  type InferenceOptions,
  openModel,
} from "./inference/index.js";
export type { TrainingMethod } from "./methods/index.js";
export {
  type CausalModel,
  countParameters,
  type FamilyModel,
  initializeWeights,
  KVCache,
  loadModel,
  type ModelConfig,
  type ModelFamily,
  parseConfig,
  type Qwen3Config,
  Qwen3ForCausalLM,
  readConfig,
  registerFamily,
  saveModel,
  writeConfig,
} from "./models/index.js";
export { AdamW, clipGradNorm, decayGroups, scheduleFactor } from "./optim/index.js";
export {
  addLora,
  freeze,
  full as trainAll,
  type LoraConfig,
  loadAdapter,
  mergeAdapter,
  saveAdapter,
} from "./peft/index.js";
export { evaluateBatch, idsOf, microStep, type Objective, type StepOptions } from "./step/index.js";
export {
  autocast,
  backward,
  call,
  crossEntropy,
  type Device,
  type DType,
  full,
  getNumThreads,
  grad,
  keep,
  LeaseError,
  liveTensors,
  loadSafetensors,
  manualSeed,
  noGrad,
  ones,
  op,
  ops,
  productKinds,
  randn,
  scope,
  setNumThreads,
  Tensor,
  TorchError,
  tensor,
  zeros,
} from "./torch/index.js";
export {
  type Artifact,
  type Ending,
  registerTracker,
  type TrackedRun,
  type Tracker,
  type TrackerMaker,
} from "./trackers/index.js";
export {
  AbortError,
  type CallbackControl,
  type CallbackRun,
  estimateMemory,
  estimateSteps,
  listCheckpoints,
  type MemoryEstimate,
  type Outcome,
  type Plan,
  type Prepared,
  planRun,
  prepare,
  type RunOptions,
  runRecipe,
  Trainer,
  type TrainerCallback,
  type TrainerOptions,
  type TrainOptions,
  train,
  verifyCheckpoint,
} from "./train/index.js";
export { packageVersion } from "./version.js";

// The data path's public names.

export { type DataRecipe, datasetNames } from "./arguments.js";
export { type Batch, collate, IGNORED_LABEL } from "./collate.js";
export { type DatasetEntry, readDatasetInfo, type TextColumns } from "./dataset-info.js";
export { readDocuments } from "./documents.js";
export type { TokenBlocks } from "./packing.js";
export { type PrepareOptions, prepareTrainingData, type TrainingData } from "./prepare.js";
export { type JsonRow, readRows } from "./records.js";
export {
  batchesPerEpoch,
  epochBatches,
  type RandomPermutation,
  RandomSampler,
  type Sampler,
  SequentialSampler,
} from "./sampler.js";
export { type DataSummary, formatSummary } from "./summary.js";
export { documentSeparator } from "./template.js";
export { loadTokenizer, type Tokenizer, type TokenizerOptions } from "./tokenizer.js";
export type { EngineName } from "./tokenizer-engines.js";

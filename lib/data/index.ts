// The data path's public names.

export { type DataRecipe, datasetNames } from "./arguments.js";
export type { Arrange, ArrangeableSource } from "./arrangement.js";
export type { BlockStream, StreamWindow } from "./block-stream.js";
export { type Batch, batchOf, collate, IGNORED_LABEL, loadBatch } from "./collate.js";
export { columnValues } from "./column-values.js";
export type { Columns, MessageColumns, MessageTags, TextColumns } from "./columns.js";
export { type CorpusText, corpusTexts, type TextOptions } from "./corpus-texts.js";
export { type DatasetEntry, type HubSource, readDatasetInfo } from "./dataset-info.js";
export { readDocuments } from "./documents.js";
export { languageTagsOf } from "./language-tags.js";
export type { TokenBlocks } from "./packing.js";
export {
  type EvaluationSet,
  type PrepareOptions,
  prepareTrainingData,
  type TrainingData,
} from "./prepare.js";
export type { Row } from "./row.js";
export { countRows, type FileType, fileType, readRows } from "./rows.js";
export {
  batchesPerEpoch,
  epochBatches,
  type RandomPermutation,
  RandomSampler,
  type Sampler,
  SequentialSampler,
  type SourceSampler,
} from "./sampler.js";
export { type BlockSource, SourcedBlocks } from "./sourced-blocks.js";
export type { DatasetHub } from "./sources.js";
export { type DataSummary, formatSummary } from "./summary.js";
export { documentSeparator } from "./template.js";
export { loadTokenizer, readTokenizerFile, type Tokenizer, type TokenizerOptions } from "./tokenizer.js";
export type { EngineName } from "./tokenizer-engines.js";
export { documentsBelow, isMarkdown } from "./whole-files.js";

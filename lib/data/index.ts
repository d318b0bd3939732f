// The data path's public names.

export type { Arrange, ArrangeableSource } from "./arrangement.js";
export {
  type Batch,
  batchOf,
  collate,
  IGNORED_LABEL,
  loadBatch,
  type RowPart,
  tokensOf,
} from "./blocks/collate.js";
export {
  DataLoader,
  type DataLoaderOptions,
  type DataSource,
  type IndexedSource,
} from "./blocks/data-loader.js";
export { canJoin, joinBatches } from "./blocks/join-batches.js";
export type { TokenBlocks } from "./blocks/packing.js";
export { type PartOf, partOfRows } from "./blocks/row-part.js";
export {
  batchesPerEpoch,
  type RandomPermutation,
  RandomSampler,
  type Sampler,
  SequentialSampler,
  type SourceSampler,
} from "./blocks/sampler.js";
export { type BlockSource, SourcedBlocks } from "./blocks/sourced-blocks.js";
export type { BlockStream, StreamWindow } from "./blocks/stream.js";
export { type DataSummary, formatSummary } from "./blocks/summary.js";
export { type DataRecipe, datasetNames } from "./data-recipe.js";
export { columnValues } from "./datasets/column-values.js";
export type { Columns, MessageColumns, MessageTags, TextColumns } from "./datasets/columns.js";
export { type CorpusText, corpusTexts, type TextOptions } from "./datasets/corpus-texts.js";
export { type DatasetEntry, type HubSource, readDatasetInfo } from "./datasets/dataset-info.js";
export { readDocuments } from "./datasets/documents.js";
export { outsideNotes } from "./datasets/outside-notes.js";
export { type DatasetHub, languageTagsOf } from "./datasets/sources.js";
export { prepareTrainingData } from "./prepare.js";
export type { Row } from "./readers/row.js";
export {
  countRows,
  type FileType,
  fileType,
  type RowReader,
  readRows,
  registerRowReader,
} from "./readers/rows.js";
export { documentsBelow, isMarkdown } from "./readers/whole-files.js";
export { holdsTokens } from "./tokenized-path/saved-blocks.js";
export type { EngineName } from "./tokenizer/engines.js";
export { documentSeparator } from "./tokenizer/template.js";
export {
  loadTokenizer,
  readTokenizerFile,
  type Tokenizer,
  type TokenizerOptions,
} from "./tokenizer/tokenizer.js";
export type { EvaluationSet, PrepareOptions, TrainingData } from "./training-data.js";

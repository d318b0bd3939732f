// What a training run reports while it runs: plain data that survives a structured clone between threads.
// Nothing here computes; `train()` produces these events, the command line and callers consume them.
import type { DataSummary } from "./data/index.js";
import type { DomainReport } from "./evaluate/domain-report.js";
import type { ScoredDomain } from "./evaluate/score-table.js";
import type { DownloadEvent } from "./hub/index.js";

/** How a run ended. */
export interface TrainResult {
  outputDir: string;
  /** Optimizer steps that the run has behind it, those before a resume included. */
  steps: number;
  epoch: number;
  /** Mean loss of the steps; what train_results.json calls train_loss. */
  trainLoss: number;
  runtimeSeconds: number;
  /** True where a signal or an AbortSignal ended the run before its last step. */
  interrupted: boolean;
  /** The folder of the last checkpoint that was written, where there is one. */
  checkpoint?: string;
  /** Steps whose loss or gradient was not finite and that were therefore not applied. */
  skippedSteps: number;
  /** Share of the run's time, from 0 to 1, in which the model waited for its data. */
  dataWaitShare: number;
  /** The content of train_results.json. */
  metrics: Record<string, number>;
  /** The content of eval_results.json, where the recipe evaluates. */
  evaluation?: Record<string, number>;
  /** The content of domain_results.json, where the recipe has eval_domains. */
  domains?: DomainReport;
}

/** Something worth saying once. */
export interface MessageEvent {
  type: "message";
  level: "info" | "warning";
  text: string;
}

/** The training data is ready; `example` is its first block. */
export interface DataEvent {
  type: "data";
  summary: DataSummary;
  example: { ids: number[]; text: string };
}

/** The model is loaded; `trainable` and `total` count its parameters' elements. */
export interface ModelEvent {
  type: "model";
  trainable: number;
  total: number;
  device: string;
  dtype: string;
  /** What computes the products on the processor, in one line; absent on a device of another kind. */
  products?: string;
}

/** The first step is about to start. */
export interface BeginEvent {
  type: "begin";
  /** Blocks in one epoch. */
  examples: number;
  epochs: number;
  totalSteps: number;
  stepsPerEpoch: number;
  perDeviceBatch: number;
  totalBatch: number;
  accumulation: number;
  /** Steps already done in an earlier run; 0 unless resumed. */
  startStep: number;
}

/** One forward and backward inside an accumulation window is done. */
export interface MicroStepEvent {
  type: "microStep";
  /** The optimizer step being computed, counted from 1. */
  step: number;
  /** Micro-steps done in this step. */
  micro: number;
  accumulation: number;
  /** Tokens of this micro-step. */
  tokens: number;
  seconds: number;
}

/** One optimizer step is done. */
export interface StepEvent {
  type: "step";
  step: number;
  totalSteps: number;
  epoch: number;
  loss: number;
  /** Global L2 norm before clipping. */
  gradNorm: number;
  /** The rate that this step used. */
  learningRate: number;
  tokens: number;
  tokensPerSecond: number;
  /** For which nothing could be computed, because the step's data was not there yet. */
  dataWaitSeconds: number;
  memoryBytes: number;
  /** Why the step was not applied, where it was not. */
  skipped?: string;
}

/** One batch of an evaluation is done. */
export interface EvaluateEvent {
  type: "evaluate";
  /** Finished optimizer steps. */
  step: number;
  /** The dataset's name, where each is evaluated by itself. */
  set: string | undefined;
  done: number;
  total: number;
}

/** Held-out sets were scored: before the first step, and after the last one beside the figures before. */
export interface DomainsEvent {
  type: "domains";
  rows: readonly ScoredDomain[];
}

/** Something was logged: `entry` is in trainer_state.json's log_history, `line` in trainer_log.jsonl. */
export interface LogEvent {
  type: "log";
  entry: Record<string, number>;
  line: Record<string, unknown>;
}

/** A checkpoint folder is complete on disk. */
export interface CheckpointEvent {
  type: "checkpoint";
  step: number;
  path: string;
}

/** An output file is complete on disk; `what` says in a few words which. */
export interface FileEvent {
  type: "file";
  path: string;
  what: string;
}

/** The run is over and every file is written. */
export interface EndEvent {
  type: "end";
  result: TrainResult;
}

/** Everything that `train()` reports, in the order in which it happens. */
export type TrainEvent =
  | MessageEvent
  | DownloadEvent
  | DataEvent
  | ModelEvent
  | BeginEvent
  | MicroStepEvent
  | StepEvent
  | EvaluateEvent
  | DomainsEvent
  | LogEvent
  | CheckpointEvent
  | FileEvent
  | EndEvent;

/** Takes an event: what the parts of a run report through. */
export type Emit = (event: TrainEvent) => void;

// What a training run reports while it runs: plain data that survives a structured clone between threads.
// Nothing here computes; `train()` produces these events, the command line and callers consume them.
import type { DataSummary } from "./data/index.js";
import type { DomainReport } from "./evaluate/domain-report.js";
import type { ScoredDomain } from "./evaluate/score-table.js";
import type { DownloadEvent } from "./hub/index.js";

/** How a run ended. */
export interface TrainResult {
  /** The recipe's `output_dir`. */
  outputDir: string;
  /** Optimizer steps that the run has behind it, those before a resume included. */
  steps: number;
  /** Passes over the blocks at the end. */
  epoch: number;
  /** Mean loss of the steps; what train_results.json calls train_loss. */
  trainLoss: number;
  /** Of this process, evaluations and saving included. */
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
  /** Which event it is. */
  type: "message";
  /** Whether it is only news. */
  level: "info" | "warning";
  /** One sentence or line. */
  text: string;
}

/** The training data is ready; `example` is its first block. */
export interface DataEvent {
  /** Which event it is. */
  type: "data";
  /** Documents, tokens and blocks, by dataset. */
  summary: DataSummary;
  /** The first block, as ids and as text. */
  example: { ids: number[]; text: string };
}

/** The model is loaded; `trainable` and `total` count its parameters' elements. */
export interface ModelEvent {
  /** Which event it is. */
  type: "model";
  /** Elements of those that train. */
  trainable: number;
  /** Elements of all parameters. */
  total: number;
  /** Where the model is. */
  device: string;
  /** What its weights are stored as. */
  dtype: string;
  /** What attends, and the key that says so, in one line. */
  attention?: string;
  /** What computes the products on the processor, in one line; absent on a device of another kind. */
  products?: string;
}

/** The first step is about to start. */
export interface BeginEvent {
  /** Which event it is. */
  type: "begin";
  /** Blocks in one epoch. */
  examples: number;
  /** Passes over the blocks; need not be whole. */
  epochs: number;
  /** Optimizer steps of the whole run. */
  totalSteps: number;
  /** Optimizer steps of an epoch. */
  stepsPerEpoch: number;
  /** Blocks of a micro-step in one process. */
  perDeviceBatch: number;
  /** Blocks of an optimizer step, over all micro-steps and processes. */
  totalBatch: number;
  /** Micro-steps of an optimizer step. */
  accumulation: number;
  /** Steps already done in an earlier run; 0 unless resumed. */
  startStep: number;
}

/** One forward and backward inside an accumulation window is done. */
export interface MicroStepEvent {
  /** Which event it is. */
  type: "microStep";
  /** The optimizer step being computed, counted from 1. */
  step: number;
  /** Micro-steps done in this step. */
  micro: number;
  /** Micro-steps of a step. */
  accumulation: number;
  /** Tokens of this micro-step. */
  tokens: number;
  /** On an accelerator, of issuing the work and not of the work: what that took, a step's `tokensPerSecond` says. */
  seconds: number;
}

/** One optimizer step is done. */
export interface StepEvent {
  /** Which event it is. */
  type: "step";
  /** Finished optimizer steps, this one included. */
  step: number;
  /** Optimizer steps of the whole run. */
  totalSteps: number;
  /** Passes over the blocks so far. */
  epoch: number;
  /** Mean cross entropy of the step's tokens, in nats. */
  loss: number;
  /** Global L2 norm before clipping. */
  gradNorm: number;
  /** The rate that this step used. */
  learningRate: number;
  /** Tokens of the step. */
  tokens: number;
  /** Of this step alone. */
  tokensPerSecond: number;
  /** For which nothing could be computed, because the step's data was not there yet. */
  dataWaitSeconds: number;
  /** On an accelerator, the most that its tensors took in this step; on the processor, the process's memory after it. */
  memoryBytes: number;
  /** Why the step was not applied, where it was not. */
  skipped?: string;
}

/** One batch of an evaluation is done. */
export interface EvaluateEvent {
  /** Which event it is. */
  type: "evaluate";
  /** Finished optimizer steps. */
  step: number;
  /** The dataset's name, where each is evaluated by itself. */
  set: string | undefined;
  /** Batches that are done. */
  done: number;
  /** Batches of this set. */
  total: number;
}

/** Held-out sets were scored: before the first step, and after the last one beside the figures before. */
export interface DomainsEvent {
  /** Which event it is. */
  type: "domains";
  /** A set each: its score, and beside it the one from before training where there is one. */
  rows: readonly ScoredDomain[];
}

/** Something was logged: `entry` is in trainer_state.json's log_history, `line` in trainer_log.jsonl. */
export interface LogEvent {
  /** Which event it is. */
  type: "log";
  /** Figures by transformers' names. */
  entry: Record<string, number>;
  /** Figures by LLaMA-Factory's names. */
  line: Record<string, unknown>;
}

/** A checkpoint folder is complete on disk. */
export interface CheckpointEvent {
  /** Which event it is. */
  type: "checkpoint";
  /** Finished optimizer steps that it holds. */
  step: number;
  /** The checkpoint's folder. */
  path: string;
}

/** An output file is complete on disk; `what` says in a few words which. */
export interface FileEvent {
  /** Which event it is. */
  type: "file";
  /** The file's path. */
  path: string;
  /** In a few words, such as "figure" or "model card". */
  what: string;
}

/** The run is over and every file is written. */
export interface EndEvent {
  /** Which event it is. */
  type: "end";
  /** What `train()` returns. */
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

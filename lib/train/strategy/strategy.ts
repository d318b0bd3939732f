// What several processes change about a run, as the loop asks for it: a few points, of which one process is the trivial
// case. How the processes talk to each other is in lib/distributed; what a step computes is in loop/.
import type { Batch } from "../../data/index.js";
import type { Division } from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { clipGradNorm, gradNorm, type ParameterGroup } from "../../optim/index.js";
import type { Part } from "../../step/passage.js";
import type { DType, Tensor } from "../../torch/index.js";

/** Which elements of a parameter one process updates, in C order. */
export interface Extent {
  readonly from: number;
  readonly length: number;
  /** The parameter's. */
  readonly shape: readonly number[];
}

/** The units of a model of which each process keeps a part: its embedding, its blocks, its head. */
export interface Units {
  /** The names of their parameters, each in one unit. */
  readonly names: readonly (readonly string[])[];
  /**
   * Gathers one after the other. `work` is called for each on one of `ranks` in turn, while all of that unit and nothing
   * else is in memory there, and on all of them at the same time. Every process asks.
   */
  visit(ranks: readonly number[], work: (unit: number) => void): void;
}

/** The processes of a run, as one of them asks for them. Every rank must ask in the same order. */
export interface Strategy {
  /** Number of this process, from 0; 0 prints and writes. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Groups of processes that have separate batches; those of one group share its rows. */
  readonly batchRanks: number;
  /** Which of them this one is in, from 0. */
  readonly batchRank: number;
  /** How often the processes were started again after one of them failed. */
  readonly attempt: number;
  /** Whether a process keeps a part of the weights only. */
  readonly isDivided: boolean;
  /** Whether a pass through the model takes several processes: none may end one that the others do not. */
  readonly isTogether: boolean;
  /** The blocks of an epoch that this process trains on, batch after batch; every process has as many batches. */
  share(order: Int32Array, batchSize: number, dropLast: boolean): Int32Array;
  /** What of one of its batches this process computes. */
  part(batch: Batch, padId: number): Batch;
  /** Sums over the processes, element by element: what a window's loss is divided by, whether one wants to stop. */
  sum(values: readonly number[]): Promise<number[]>;
  /** Adds a tensor up over the processes, in place; contiguous, of the same shape everywhere. */
  add(values: Tensor): Promise<void>;
  /** The lists of all processes, in the order of ranks; they need not be as long as each other. */
  gather(values: readonly number[]): Promise<number[][]>;
  /**
   * What is to be told, in the last micro-step of a window, of each part of the model whose gradients are complete: they
   * are summed from then on, while others are computed. Undefined where nothing is to be.
   */
  whenComplete(model: CausalModel, parameters: readonly Tensor[]): ((part: Part) => void) | undefined;
  /**
   * Sums the gradients of a window, before anything else is done with them. A window that was ended early asks too: other
   * processes may have begun.
   */
  reduceGradients(parameters: readonly Tensor[]): Promise<void>;
  /**
   * Takes over the model, whose trained parameters the groups hold: gives what of them this process updates, under the
   * same names. They have rank 0's values when the run begins.
   * @param dtype what trained parameters that it copies are kept in; undefined for their own
   */
  divide(model: CausalModel, groups: readonly ParameterGroup[], dtype?: DType): readonly ParameterGroup[];
  /** What this process updates of each parameter, where that is a part; undefined where it is everything. */
  readonly extents: ReadonlyMap<string, Extent> | undefined;
  /** Of a divided model; undefined where every process has all of it. */
  readonly units: Units | undefined;
  /** How methods meet that model; undefined where every process has all of it. */
  readonly division: Division | undefined;
  /** Gives every process rank 0's values, before the first step. */
  broadcast(parameters: readonly Tensor[]): Promise<void>;
  /**
   * Runs `work` with all weights in memory on rank 0, or the trained ones, where it reads them; the others have nothing to
   * do in theirs.
   */
  whole<T>(work: () => Promise<T> | T, read?: "trained"): Promise<T>;
  /**
   * Runs on rank 0 `work`, which changes the weights; every process has them afterwards.
   * @param parameters the trained ones, asked for after that
   * @param how whether it writes into the trained parameters, or puts others in the place of all or none of them
   */
  renew(parameters: () => readonly Tensor[], work: () => void, how: "changes" | "replaces"): Promise<void>;
  /** The norm of all gradients together, which it clips to `most` where that is above 0; undefined for no gradients. */
  clip(parameters: readonly Tensor[], most: number): Tensor | undefined;
  /** Runs what fills a cache: on rank 0 first, then on the others, which wait however long it takes. */
  inTurn<T>(label: string, work: () => Promise<T>): Promise<T>;
  /**
   * Compares what must be the same everywhere.
   * @throws UserError on rank 0, naming the rank and what differs
   */
  agree(label: string, facts: Readonly<Record<string, string>>): Promise<void>;
  /** Asks every process to stop after the last finished step. */
  askToStop(): void;
  /** Whether some process has asked for that. */
  readonly stopAsked: boolean;
}

/** One process: everything is its own. */
export const oneProcess: Strategy = {
  rank: 0,
  size: 1,
  batchRanks: 1,
  batchRank: 0,
  attempt: 0,
  isDivided: false,
  isTogether: false,
  share: (order) => order,
  part: (batch) => batch,
  sum: async (values) => [...values],
  add: async () => {},
  gather: async (values) => [[...values]],
  whenComplete: () => undefined,
  reduceGradients: async () => {},
  divide: (_, groups) => groups,
  extents: undefined,
  units: undefined,
  division: undefined,
  broadcast: async () => {},
  whole: async (work) => work(),
  renew: async (_, work) => work(),
  clip: (parameters, most) => (most > 0 ? clipGradNorm(parameters, most) : gradNorm(parameters)),
  inTurn: (_, work) => work(),
  agree: async () => {},
  askToStop: () => {},
  stopAsked: false,
};

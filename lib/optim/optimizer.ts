// What the training loop, the checkpoints and the estimate of memory ask of an optimizer. How one updates is its own
// file; which there are is all-optimizers.ts.

import type { Device, DType, Tensor } from "../torch/index.js";
import { bytesPerElement } from "../torch/index.js";
import type { ParameterGroup } from "./groups.js";

/** An optimizer at work: parameters in groups, and what it keeps for each of them. */
export interface Optimizer {
  /** The parameters that it updates. The loop writes each group's `learningRate` before a step. */
  readonly groups: readonly ParameterGroup[];
  /** Updates every parameter that has a gradient, in place. */
  step(): void;
  /** Forgets every gradient. */
  zeroGrad(): void;
  /**
   * What a checkpoint keeps: the state itself, not copies, each tensor as `<parameter>.<entry>`. Parameters that had no
   * gradient so far may be left out.
   */
  stateDict(): ReadonlyMap<string, Tensor>;
  /** Takes over copies of a saved state. Throws RangeError naming the parameter where the state does not fit. */
  loadStateDict(saved: ReadonlyMap<string, Tensor>): void;
  /**
   * Entries that have one number for a run of as many elements of the parameter, from its first on; all others are single
   * numbers or of the parameter's shape. Left out: none.
   */
  readonly runs?: Readonly<Record<string, number>>;
  /**
   * Entries that each process with a part of the parameter has as one process with all of it would, of whatever shape. Left
   * out: none.
   */
  readonly shared?: readonly string[];
  /** Frees the state. */
  dispose(): void;
}

/** The form of a tensor: of a parameter, or of what is kept for one. */
export interface TensorForm {
  /** Empty for a single number. */
  readonly shape: readonly number[];
  /** What its elements are stored as. */
  readonly dtype: DType;
  /** Where it is; left out: where the parameter is. */
  readonly device?: Device;
  /** A folder: it lies on the pages of a file there, which the system takes out of memory as it likes. */
  readonly pagesIn?: string;
}

/** The form of a parameter. */
export interface ParameterForm extends TensorForm {
  /** As in its group. */
  readonly name?: string;
  /** Shape of the whole parameter, where this is a part of it, [length]. */
  readonly wholeShape?: readonly number[];
}

/** Processes that update a part of the same parameters each, as an optimizer of one of them meets the others. */
export interface Divided {
  /** All parameters that are trained, by name: the same, in the same order, in every process. */
  readonly forms: ReadonlyMap<string, TensorForm>;
  /** Adds a tensor up over the processes, in place. Every process asks, with the same shape. */
  sum(values: Tensor): void;
}

/** What is kept for one parameter, by the entry's name; in the order of the file. */
export type StateForms = Readonly<Record<string, TensorForm>>;

/** A value of `optim_args`. */
export type OptimizerArgument = number | boolean;

/** What a recipe says to its optimizer. Rates and decay by parameter are the groups'. */
export interface OptimizerSettings {
  /** `learning_rate`, of the groups that name no rate. */
  readonly learningRate: number;
  /** `adam_beta1`. */
  readonly beta1: number;
  /** `adam_beta2`. */
  readonly beta2: number;
  /** `adam_epsilon`. */
  readonly eps: number;
  /** `output_dir`: where states that are paged have their files. */
  readonly folder: string;
  /** `optim_args`, laid over the kind's {@link OptimizerKind.arguments}. */
  readonly arguments: Readonly<Record<string, OptimizerArgument>>;
}

/** Elements of a parameter that share numbers of an optimizer's state, at the most, where parts of it are updated apart. */
export const LONGEST_RUN = 256;

/** One kind of optimizer: what the recipe's `optim` chooses. */
export interface OptimizerKind {
  /**
   * Whether it updates each element by numbers of that element's run of 256 or less (`LONGEST_RUN`): then it can update a
   * part of a parameter that consists of such runs, as a sharded run asks. Left out: no.
   */
  readonly isElementwise?: boolean;
  /** The settings that `optim_args` may give, with their defaults. Left out: none. */
  readonly arguments?: Readonly<Record<string, OptimizerArgument>>;
  /** Throws UserError where settings contradict each other. */
  check?(settings: OptimizerSettings): void;
  /** What it keeps for a parameter of this form, from the first step on. Left out: nothing. */
  state?(parameter: ParameterForm, settings: OptimizerSettings): StateForms;
  /** Bytes that it takes beside that while it updates a parameter of this form. Left out: none worth counting. */
  working?(parameter: ParameterForm, settings: OptimizerSettings): number;
  /** An optimizer over these groups, without any state yet. */
  make(groups: readonly ParameterGroup[], settings: OptimizerSettings): Optimizer;
  /**
   * One over parts of parameters (`wholes` of its groups), which asks the other processes for what it needs of theirs. Left
   * out: there is none, unless the kind is elementwise and needs nothing.
   */
  makeDivided?(groups: readonly ParameterGroup[], settings: OptimizerSettings, among: Divided): Optimizer;
}

/** Bytes in memory of a tensor of this form; a single number counts as nothing, and so do a file's pages. */
function bytesOf({ shape, dtype, pagesIn }: TensorForm): number {
  return shape.length === 0 || pagesIn !== undefined
    ? 0
    : shape.reduce((a, b) => a * b, bytesPerElement(dtype));
}

/**
 * Bytes of a kind's state for these parameters, and of what it takes beside that at the most while it updates one. Both
 * follow from the same forms that its state is made by.
 */
export function optimizerBytes(
  kind: OptimizerKind,
  parameters: Iterable<ParameterForm>,
  settings: OptimizerSettings,
): { state: number; working: number } {
  let [state, working] = [0, 0];
  for (const parameter of parameters) {
    for (const form of Object.values(kind.state?.(parameter, settings) ?? {})) state += bytesOf(form);
    working = Math.max(working, kind.working?.(parameter, settings) ?? 0);
  }
  return { state, working };
}
